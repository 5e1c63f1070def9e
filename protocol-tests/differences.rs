//! Where larder and memcached answer differently, with the reasons.
//!
//! A test that is listed here leaves early when it meets the daemon it does not apply to. Owns the lists
//! only; the tests know nothing of each other.

use std::fs;
use std::path::Path;

use crate::server::Kind;

/// Tests of what only memcached does, and why larder need not.
const MEMCACHED_ONLY: &[(&str, &str)] = &[
    (
        "stats::bytes_are_the_sum_of_memcacheds_item_sizes",
        "larder's items have smaller headers, and `bytes` counts what they really take",
    ),
    (
        "bad_input::a_tls_hello_is_not_taken_for_data",
        "larder closes whoever greets in TLS where none is spoken, see tls::hostile",
    ),
];

/// Tests that memcached fails in every release, and why larder differs.
const LARDER_ONLY: &[(&str, &str)] = &[
    ("hotkeys::reads_and_writes_are_counted_by_requests_and_by_bytes", NO_HOT_KEYS),
    ("hotkeys::a_value_in_pieces_is_counted_once_and_one_that_is_refused_brings_no_bytes", NO_HOT_KEYS),
    ("hotkeys::what_was_hot_cools", NO_HOT_KEYS),
    ("hotkeys::keys_are_one_word_whatever_is_in_them", NO_HOT_KEYS),
    ("hotkeys::as_many_are_listed_as_are_asked_for", NO_HOT_KEYS),
    ("hotkeys::a_reset_forgets_the_keys", NO_HOT_KEYS),
    ("hotkeys::who_may_not_list_keys_may_not_know_the_hot_ones", NO_HOT_KEYS),
    ("hotkeys::datagrams_count_as_well", NO_HOT_KEYS),
    ("hotkeys::a_sample_of_a_crowd_tells_who_is_hot", NO_HOT_KEYS),
    ("service::the_manager_is_told_of_readiness_reloads_and_the_end", NO_MANAGER),
    ("service::the_watchdog_is_told_only_while_all_threads_turn", NO_MANAGER),
    ("service::a_manager_that_is_not_there_is_warned_of_and_stops_nobody", NO_MANAGER),
    ("service::sockets_of_the_manager_take_the_place_of_its_own", NO_MANAGER),
    ("service::a_socket_that_does_not_fit_is_refused", NO_MANAGER),
    ("service::the_memory_limit_may_be_a_part_of_what_there_is", NO_MANAGER),
    ("service::sighup_brings_what_may_change_and_tells_what_may_not", NO_MANAGER),
    ("service::a_config_file_with_an_error_changes_nothing", NO_MANAGER),
    ("service::sighup_reads_the_users_again_as_well", NO_MANAGER),
    ("service::more_connections_come_with_descriptors_for_them_also_under_the_filter", NO_MANAGER),
    ("service::what_could_not_be_changed_is_not_taken_for_done", NO_MANAGER),
    (
        "service::a_socket_of_the_manager_has_the_tag_of_its_address_and_must_have_one_that_is_named",
        NO_MANAGER,
    ),
    ("tls::setup::a_socket_of_the_service_manager_wants_the_certificate_that_its_address_wants", NO_MANAGER),
    ("http::a_name_that_anybody_may_have_pointed_here_is_told_nothing", NO_HTTP),
    ("http::figures_name_no_file_of_the_machine", NO_HTTP),
    ("http::figures_that_others_can_read_are_warned_of", NO_HTTP),
    ("http::slow_clients_keep_nobody_from_his_answer", NO_HTTP),
    ("http::who_takes_nothing_of_his_answer_is_closed", NO_HTTP),
    (
        "rights::each_thread_that_meets_bytes_of_others_has_the_narrow_filter",
        "memcached has the filter in some builds alone",
    ),
    ("crawler::a_cachedump_looks_at_some_of_many_items", NO_LIMIT),
    ("faults::without_address_space_the_cache_is_smaller_and_serves_on", "memcached refuses values then"),
    ("logs::each_line_of_json_has_time_level_and_message", OWN_LOG),
    ("logs::who_is_turned_away_or_cannot_log_in_is_told_of", OWN_LOG),
    ("logs::a_client_of_the_binary_protocol_is_told_of", OWN_LOG),
    ("logs::changes_by_clients_are_told_of_with_the_peer_and_not_without_end", OWN_LOG),
    ("logs::a_storm_of_evictions_is_told_of_once_in_a_while", OWN_LOG),
    ("logs::values_that_are_refused_are_told_of", OWN_LOG),
    ("logs::a_client_cannot_forge_a_line", OWN_LOG),
    ("logs::a_log_file_that_was_moved_away_is_opened_again", OWN_LOG),
    ("logs::a_log_file_that_cannot_be_opened_again_goes_on_and_it_is_said_what_to_do", OWN_LOG),
    ("process::as_a_daemon_it_warns_before_it_leaves", OWN_LOG),
    ("process::files_that_the_user_cannot_read_again_are_told_of", OWN_LOG),
    ("logs::in_the_journal_lines_begin_with_their_priority", OWN_LOG),
    ("logs::an_unknown_format_is_refused", OWN_LOG),
    ("tls::a_session_goes_on_where_it_began_and_nowhere_else", NO_COUNT_OF_HANDSHAKES),
    ("tls::the_name_in_a_clients_certificate_is_known", "memcached does not show it"),
    ("tls::the_user_that_a_certificate_stands_for_is_listed", NO_USERS),
    ("tls::hostile::a_handshake_that_stands_still_hinders_nobody_and_is_closed", "memcached waits for it"),
    ("tls::hostile::tls_where_none_is_spoken_is_closed_and_told_of", "memcached takes it for commands"),
    ("tls::hostile::watchers_are_told_of_handshakes_that_fail", "the message is OpenSSL's"),
    (
        "tls::hostile::clients_beyond_the_limit_are_closed_without_a_word_in_plain_text",
        "memcached tells them in plain text",
    ),
    ("tls::reloading::a_change_of_the_files_is_noticed", "memcached does not look"),
    ("tls::reloading::a_key_that_does_not_fit_yet_changes_nothing", "memcached does not look"),
    (
        "tls::handshakes::greetings_that_come_at_once_are_answered_between_the_requests_of_others",
        NO_COUNT_OF_HANDSHAKES,
    ),
    (
        "tls::handshakes::handshakes_that_come_at_once_are_done_between_the_requests_of_others",
        NO_COUNT_OF_HANDSHAKES,
    ),
    ("tls::reloading::a_session_does_not_outlive_the_certificates_it_began_with", NO_COUNT_OF_HANDSHAKES),
    ("tls::reloading::the_age_and_the_end_of_the_certificates_are_told", "memcached does not tell the end"),
    (
        "tls::setup::files_that_cannot_be_used_are_refused_by_name",
        "the errors are OpenSSL's, in several lines",
    ),
    ("tls::setup::files_without_tls_are_warned_of", "memcached says nothing"),
    ("tls::setup::what_does_not_go_with_tls_or_without_it_is_refused", "memcached ends with 1, or starts"),
    (
        "process::as_a_daemon_it_tells_what_is_wrong_before_it_leaves",
        "memcached is in the background by then, and its caller is told that all is well",
    ),
    (
        "listening::a_unix_socket_that_answers_is_not_taken_over",
        "memcached takes the path away from the server that listens there",
    ),
    (
        "numbers::exptimes_beyond_i32_are_far_absolute_times",
        "memcached cuts them to 32 bits, so that an item meant to live long is over at once or never",
    ),
    (
        "hostile_clients::the_limit_counts_connections",
        "memcached's limit is on descriptor numbers, which its own files and threads use up as well",
    ),
    ("crowds::connections_are_spread_evenly_whoever_leaves", "memcached gives them to its threads in turn"),
    (
        "crowds::those_who_may_wait_are_served_one_after_the_other",
        "memcached's limit is on descriptor numbers, and it accepts until there are none",
    ),
    (
        "slow_clients::what_slow_readers_hold_is_bounded_in_all",
        "memcached refers to the items, however small",
    ),
    ("slow_clients::what_readers_keep_beyond_a_flush_is_bounded_too", NO_LIMIT),
    (
        "slow_clients::a_cache_full_of_values_that_are_being_read_serves_others_and_gets_its_memory_back",
        "memcached answers `out of memory` to a legal item while older ones wait for a slow reader",
    ),
    ("fairness::the_keys_of_a_list_are_counted_too", NO_SHARE),
    ("fairness::values_are_sent_in_shares_however_fast_they_are_read", NO_SHARE),
    (
        "concurrency::a_slow_reader_of_many_keys_gets_whole_values_while_everything_is_evicted",
        "memcached answers `out of memory` to a legal item while older ones wait for a slow reader",
    ),
    (
        "memory::another_size_is_soon_more_than_a_few_items",
        "memcached leaves the pages with the sizes that came first for as long as nothing else evicts",
    ),
    (
        "process::a_bad_option_ends_with_64_and_one_line_that_names_it",
        "memcached ends with 1 or 64, in one line or several, and does not always name the option",
    ),
    (
        "tuning::slabs_reassign_without_a_reply_moves_a_page",
        "memcached counts the word as an argument too many and does nothing, in silence",
    ),
    ("tuning::the_policy_is_one_of_two", "memcached has one policy"),
    (
        "tuning::the_automove_ratio_is_above_0_and_at_most_1",
        "memcached takes any number, of which only these mean something",
    ),
    (
        "crawler::commands_behind_a_dump_are_answered_after_it",
        "memcached answers them only when more input arrives",
    ),
    ("crawler::a_dump_may_be_of_keys_that_begin_alike", "memcached's dumps take no prefix"),
    ("crawler::a_prefix_can_be_flushed", "memcached has no such command"),
    ("prompts::the_question_before_a_flush_names_the_prefix", "memcached has no such command"),
    ("crawler::a_prefix_is_not_flushed_where_nothing_may_be", "memcached has no such command"),
    (
        "crawler::a_dump_waits_for_a_client_that_reads_slowly_and_nobody_else_does",
        "memcached allows one dump at a time",
    ),
    ("watch::moves_of_pages_by_command_are_told_of", "memcached tells of those that it begins"),
    (
        "watch::a_slow_watcher_slows_nobody_and_learns_what_it_missed",
        "memcached tells of dropped lines only before the next that finds room",
    ),
    (
        "crawler::a_crawl_takes_expired_items_away",
        "memcached's maintainer takes items away that are expired when they are stored, and does not count them",
    ),
    ("watch::pages_that_move_by_themselves_are_told_of", "memcached tells of its first crawls as well"),
    (
        "watch::expired_items_that_are_taken_away_are_told_of",
        "memcached tells of crawls by segment, also of those that found nothing",
    ),
    ("crawler::a_crawl_looks_at_as_many_items_as_it_may", OWN_CRAWLS),
    ("crawler::a_crawl_pauses_as_long_as_it_is_told", OWN_CRAWLS),
    ("watch::an_eviction_tells_its_cause", "memcached does not tell"),
    (
        "watch::what_was_refused_is_told_of_with_true_numbers",
        "memcached tells of a negative exptime as unsigned, and of a refused value what was left in memory",
    ),
    (
        "crawler::a_dump_lists_what_stays_once_while_others_write",
        "memcached's dump takes minutes while others write",
    ),
    ("tags::clients_are_counted_by_the_tag_of_their_socket", NO_TAGS),
    ("tags::tags_add_up_to_the_general_statistics", NO_TAGS),
    ("tags::a_reset_begins_again_but_for_what_is_there", NO_TAGS),
    ("tags::connections_are_listed_with_their_tags", NO_TAGS),
    ("tags::without_tags_there_is_nothing_to_tell", NO_TAGS),
    ("tags::datagrams_are_counted_by_the_tag_of_their_socket", NO_TAGS),
    ("tags::a_tag_that_is_none_is_refused_by_name", NO_TAGS),
    ("latency::one_command_in_some_is_timed", NO_TIMES),
    ("latency::values_in_pieces_and_long_lists_are_timed_as_others_are", NO_TIMES),
    ("latency::what_is_slow_is_named", NO_TIMES),
    ("latency::keys_are_not_shown_where_they_may_not_be_listed", NO_TIMES),
    ("latency::without_a_limit_nothing_is_kept", NO_TIMES),
    ("latency::bytes_that_are_no_text_are_escaped", NO_TIMES),
    ("conns::a_value_that_does_not_arrive_any_more_is_given_up", "memcached waits for it for ever"),
    ("rights::with_the_filter_it_serves_and_can_do_nothing_else", DEBUG_BUILD),
    ("rights::without_the_filter_there_is_none", DEBUG_BUILD),
    ("rights::core_is_not_dumped_unless_asked_for", "memcached leaves the limit as it is"),
    ("rights::an_address_has_as_many_connections_as_it_may", NO_LIMIT),
    ("rights::clients_of_a_unix_socket_have_no_address", NO_LIMIT),
    (
        "rights::a_unix_socket_takes_nobodys_place",
        "memcached says that the address is in use, or takes the path away",
    ),
    ("rights::a_pid_file_takes_no_devices_place", "memcached puts a file in its place"),
    ("rights::where_nobody_can_connect_it_starts_and_says_so", "memcached starts and says nothing"),
    ("faults::who_resets_in_any_state_leaves_nothing", "memcached counts a listing that is under way"),
    ("faults::a_log_that_takes_nothing_stops_nobody", "memcached has no log file"),
    ("faults::a_pid_file_for_which_the_disk_has_no_room_is_told_of", "memcached says so and runs without"),
    (
        "faults::steps_of_the_wall_clock_by_hours_neither_end_an_item_nor_keep_one",
        "memcached reads absolute exptimes by the wall clock of its start",
    ),
    ("faults::a_panic_ends_the_daemon_at_once_with_a_line_in_the_log", DEBUG_BUILD),
    ("faults::a_panic_in_the_background_is_in_the_log_file", DEBUG_BUILD),
    ("error_lines::connections_beyond_the_limit", "memcached counts descriptors, its own among them"),
    ("error_lines::a_limit_beyond_what_can_be_named", "memcached takes any number of megabytes"),
    ("conns::the_clock_is_moved_only_where_tests_may", DEBUG_BUILD),
    ("debug::without_the_variable_there_are_no_debug_commands", DEBUG_BUILD),
    ("debug::the_page_of_an_item_that_is_referenced_or_locked_stays", DEBUG_BUILD),
    ("debug::debugitem_knows_its_words", DEBUG_BUILD),
    ("process::debians_config_file_is_understood", "memcached has no such option, a wrapper reads the file"),
    (
        "meta_get::an_item_that_is_over_has_no_time_left",
        "memcached shows the time left as a number that went below zero",
    ),
    ("meta_get::a_touch_that_misses_is_a_touch", "memcached counts it as a get"),
    (
        "meta_get::l_counts_from_the_last_access",
        "memcached notes accesses to older items in the background, some time later",
    ),
    ("meta_keys::the_mark_stays_with_the_key_whatever_becomes_of_the_value", MARK_IS_LOST),
    ("meta_keys::classic_changes_of_a_part_leave_the_mark_as_well", MARK_IS_LOST),
    ("meta_keys::me_reads_keys_as_base64", "memcached's me heeds the flag only where another follows it"),
    (
        "meta_leases::a_part_that_makes_the_value_longer_leaves_the_marks",
        "memcached forgets that the value is stale where it does not change in place",
    ),
    ("meta_lines::an_opaque_may_have_32_bytes", "memcached counts the flag's letter as well"),
    (
        "meta_lines::a_counter_does_not_move_when_the_opaque_is_too_long",
        "memcached counts first and refuses then",
    ),
    ("udp::a_port_in_use_ends_with_71", "memcached takes the port away from the daemon that answers there"),
    ("udp::a_list_of_keys_has_one_message", "memcached sends one for each item that is found"),
    ("udp::a_value_that_is_not_all_there_is_forgotten", UNFINISHED),
    ("udp::hostile_datagrams_do_no_harm", UNFINISHED),
    ("udp::what_looks_like_a_reply_is_dropped", "memcached answers it, and two servers talk for ever"),
    (
        "udp::commands_that_take_long_are_refused",
        "memcached does not answer them, and some end its answering for good",
    ),
    ("auth::each_refused_line_of_a_batch_is_answered", "memcached answers the last of them"),
    (
        "auth::a_file_that_cannot_be_read_ends_with_71_and_a_wrong_line_with_64",
        "memcached ends with 1 in either case, as for nothing else that is wrong",
    ),
    ("auth::a_file_that_everybody_may_read_is_warned_of", "memcached does not look"),
    (
        "auth::connections_are_listed_with_names_and_never_with_what_proved_them",
        "memcached does not keep the name",
    ),
    ("users::a_user_logs_in_with_the_password_that_was_hashed", NO_USERS),
    ("users::connections_are_listed_with_their_users", NO_USERS),
    ("users::a_crowd_logs_in", NO_USERS),
    ("users::a_client_that_leaves_before_the_verdict_does_no_harm", NO_USERS),
    ("users::whoever_may_only_read_changes_nothing", NO_USERS),
    ("users::whoever_may_only_read_is_not_asked_to_renew", NO_USERS),
    ("users::whoever_may_only_write_sees_nothing", NO_USERS),
    ("users::only_an_admin_rules_the_daemon", NO_USERS),
    ("users::rights_hold_for_what_comes_with_the_login", NO_USERS),
    ("users::a_user_with_a_prefix_keeps_to_it", NO_USERS),
    ("users::the_value_of_a_refused_command_is_skipped", NO_USERS),
    ("users::a_file_that_is_wrong_is_told_with_its_line", NO_USERS),
    ("users::passwd_says_what_is_wrong", NO_USERS),
    ("users::passwd_takes_no_option_for_a_name", NO_USERS),
    ("users::a_daemon_that_is_open_to_all_says_so", NO_USERS),
    ("logins::a_network_that_guesses_waits_before_it_is_judged_and_nobody_else_does", NO_DELAYS),
    ("logins::whoever_repeats_a_wrong_password_has_guessed_nothing", NO_DELAYS),
    ("logins::few_logins_of_a_network_wait_and_those_who_give_up_leave_their_places", NO_DELAYS),
    ("logins::those_who_send_logins_and_leave_hold_up_nobody_elsewhere", NO_USERS),
    ("logins::those_who_break_off_while_their_passwords_wait_take_nobodys_time", NO_USERS),
    ("logins::whoever_does_not_log_in_in_time_is_closed", NO_DELAYS),
    ("logins::little_is_kept_of_those_who_have_not_logged_in", NO_DELAYS),
    ("logins::what_is_kept_of_logins_that_wait_counts", NO_DELAYS),
    ("logins::rights_that_are_withdrawn_end_with_the_next_command", NO_USERS),
    ("udp::replies_have_a_limit", "memcached has none"),
    ("udp::public_addresses_need_an_option", "memcached does without"),
    ("udp::quit_ends_a_datagram_in_silence", "memcached sends a header and nothing behind it"),
];

/// Tests that memcached 1.6.45 fails and 1.6.18 passes: bugs that came in between.
const NOT_IN_1_6_45: &[(&str, &str)] = &[
    (
        "value_limits::keys_of_251_bytes_in_a_get_give_one_clean_error_line",
        "an empty line follows the error line, so the client reads one reply too many",
    ),
    (
        "value_limits::keys_of_251_bytes_in_a_get_do_not_cost_earlier_replies",
        "replies to earlier commands that are still queued are thrown away",
    ),
];

/// Tests of 1.6.45's behaviour that memcached 1.6.18 (Debian 12) fails, and what it does instead.
const NOT_IN_1_6_18: &[(&str, &str)] = &[
    ("auth::anything_that_begins_with_set_will_do", "the word must be `set`"),
    ("auth::tokens_have_a_limit", "what is longer than its buffer is waited for, or closes the connection"),
    ("auth::lines_that_are_too_short_end_the_connection", "most of them are answered"),
    ("tls::an_address_may_have_rules_of_its_own", "btls: and mtls: are newer"),
    ("tls::hostile::what_is_broken_after_the_handshake_is_closed_and_counted", "ssl_proto_errors is newer"),
    ("tls::reloading::a_hangup_reads_them_again", "SIGHUP ends it"),
    ("arithmetic::missing_arguments_of_incr_and_decr_are_a_bad_line", MISSING_IS_ERROR),
    ("deletion::missing_arguments_of_delete_and_touch_are_a_bad_line", MISSING_IS_ERROR),
    ("retrieval::no_key_is_a_bad_line", MISSING_IS_ERROR),
    ("storage::too_few_tokens_are_refused_at_once_and_nothing_is_skipped", MISSING_IS_ERROR),
    ("numbers::verbosity_needs_a_level", MISSING_IS_ERROR),
    ("error_lines::a_bad_line_is_one_that_is_short_or_lacks_tokens", SHORT_IS_ERROR),
    ("error_lines::a_bad_line_is_one_whose_tokens_cannot_be_read", MISSING_IS_ERROR),
    ("error_lines::a_bad_line_takes_its_value_along", NOT_SKIPPED),
    ("error_lines::what_the_operator_forbids", "-X does not forbid stats detail"),
    ("error_lines::a_window_that_is_none", "the command does not know the window"),
    ("error_lines::meta_commands_that_are_wrong", ONE_ANSWER),
    ("error_lines::memory_that_is_missing", "the flag x is newer"),
    ("error_lines::a_shutdown_that_is_not_enabled", "the line begins with `ERROR:`"),
    ("error_lines::commands_that_must_come_first", "each reply is written by itself, so that none waits"),
    ("error_lines::a_list_of_keys_must_come_first", "there is no mgdump"),
    ("lines::lines_shorter_than_four_bytes_are_bad", SHORT_IS_ERROR),
    ("storage::the_rest_of_data_that_was_too_long_is_a_bad_line_of_its_own", SHORT_IS_ERROR),
    ("lines::a_blank_before_a_core_command_makes_it_unknown", "leading blanks are skipped"),
    (
        "lines::up_to_100_blanks_before_a_get_line_that_grows_only_make_it_unknown",
        "leading blanks are skipped",
    ),
    ("lines::http_as_the_only_token_is_just_unknown", "closes the connection"),
    ("lines::surplus_tokens_are_ignored", SURPLUS_IS_ERROR),
    ("lines::noreply_behind_the_tokens_that_are_kept_is_not_seen", SURPLUS_IS_ERROR),
    ("noreply::the_word_counts_only_as_the_last_token_and_exactly_so", SURPLUS_IS_ERROR),
    ("deletion::delete_tolerates_further_arguments", "only 0 and noreply are tolerated"),
    ("noreply::the_word_can_also_be_a_key_or_an_argument", "`delete noreply` is answered"),
    ("noreply::unknown_commands_are_silent_too", "they are answered"),
    ("noreply::refused_storage_lines_are_silent_and_their_data_is_skipped", NOT_SKIPPED),
    ("noreply::a_length_that_cannot_be_read_is_reported_even_so", "it is not reported"),
    ("numbers::negative_and_non_decimal_flags_are_refused_and_the_data_skipped", NOT_SKIPPED),
    ("numbers::text_as_exptime_is_refused_and_the_data_skipped", NOT_SKIPPED),
    ("numbers::unreadable_cas_uniques_are_refused_and_the_data_skipped", NOT_SKIPPED),
    ("storage::what_is_refused_after_the_length_is_known_is_skipped_with_its_data", NOT_SKIPPED),
    ("splitting::a_refused_value_in_pieces_is_skipped_to_the_byte", NOT_SKIPPED),
    ("value_limits::keys_of_251_bytes_are_refused_by_everything_that_changes_items", NOT_SKIPPED),
    ("numbers::numbers_beyond_32_bits_are_refused_and_not_cut", "they are cut to 32 bits"),
    ("numbers::cas_uniques_have_no_plus", SIGNS_AND_ZEROS),
    ("numbers::data_lengths_have_no_sign_and_at_most_11_characters", SIGNS_AND_ZEROS),
    ("numbers::deltas_have_no_plus_and_at_most_22_characters", SIGNS_AND_ZEROS),
    ("numbers::exptimes_of_touch_and_gat_have_no_plus_and_fit_i32", SIGNS_AND_ZEROS),
    ("storage::keys_hold_nul_too", "NUL ends the line"),
    ("simple::shutdown_must_be_enabled", "the line begins with `ERROR:`"),
    ("tuning::what_slabs_refuses_may_be_refused_in_silence", "it is refused aloud"),
    ("tuning::the_automove_window_has_bounds", "the command does not know the window"),
    ("crawler::a_metadump_tells_what_is_known_of_each_item", "no `OK` before, and no flags"),
    ("crawler::a_mgdump_gives_commands_that_find_the_items", "there is no mgdump"),
    ("crawler::a_dump_is_the_first_of_its_batch", "there is no mgdump"),
    ("crawler::the_crawler_can_be_set_and_switched_off", "there is no mgdump"),
    ("crawler::without_dumping_nothing_lists_keys", "there is no mgdump"),
    ("conns::detail_may_be_forbidden", "-X does not forbid it"),
    ("conns::prefixes_may_be_many_and_have_a_limit", "there is no limit"),
    ("watch::deletions_are_told_of", "there is no such stream"),
    ("watch::meta_commands_are_told_of_like_the_others", "there is no stream of deletions"),
    ("conns::shutdown_knows_its_modes", "the error line is another"),
    ("stats::without_crawler_and_maintainer_their_names_are_gone", "some counters are newer"),
    ("stats::general_names_come_in_this_order", "some counters are newer"),
    ("stats::settings_names_come_in_this_order", "some settings are newer"),
    ("stats::subcommands_may_be_abbreviated", "they must be exact"),
    ("meta_get::a_cas_unique_that_is_current_spares_the_value", NO_E),
    ("meta_get::flags_that_mean_nothing_here_and_surplus_arguments_are_ignored", "the flag x is newer"),
    ("meta_get::large_values_come_whole", "ms does not return the size"),
    ("meta_get::me_tells_about_an_item_and_does_not_touch_it", NO_E),
    ("meta_keys::classic_commands_find_it_by_its_bytes", "NUL ends the line"),
    ("meta_keys::what_is_no_base64_is_refused", ONE_ANSWER),
    ("meta_leases::a_created_item_takes_the_cas_unique_of_the_client", NO_E),
    (
        "meta_leases::a_mark_goes_with_the_value_and_stays_while_only_a_part_of_that_changes",
        "the flag x is newer",
    ),
    ("meta_leases::a_stale_item_is_served_to_all_and_renewed_by_one", NO_E),
    ("meta_lines::a_flag_may_be_there_once", ONE_ANSWER),
    (
        "meta_lines::an_opaque_that_is_too_long_is_refused_and_nothing_is_done",
        "it is refused after the command is carried out",
    ),
    ("meta_lines::arguments_that_are_no_numbers_are_refused", NO_E),
    ("meta_lines::characters_that_are_no_flags_make_a_bad_line", "they are flags that nobody knows"),
    ("meta_lines::flags_that_nobody_knows_are_refused", ONE_ANSWER),
    ("meta_lines::commands_need_a_key", MISSING_IS_ERROR),
    ("meta_lines::numbers_have_neither_plus_nor_blanks_nor_many_zeros", SIGNS_AND_ZEROS),
    ("meta_lines::quiet_commands_are_answered_only_where_it_matters", LOUD_CREATION),
    (
        "meta_lines::twenty_tokens_are_enough",
        "fewer tokens are allowed, and the line that says so is another",
    ),
    ("meta_lines::without_cas_uniques_there_is_nothing_to_compare", NO_E),
    ("meta_set::a_cas_unique_can_be_set", NO_E),
    ("meta_set::a_cas_unique_is_compared_in_every_mode_that_has_a_value_to_compare", NO_E),
    ("meta_set::a_large_append_creates_too", NO_CREATING_APPEND),
    ("meta_set::an_append_that_creates_takes_flags_and_its_own_time_to_live", NO_CREATING_APPEND),
    ("meta_set::modes_on_a_key_that_is_absent_and_one_that_is_there", NO_CREATING_APPEND),
    ("meta_set::a_length_that_cannot_be_read_is_refused_at_once", MISSING_IS_ERROR),
    ("meta_set::an_older_value_keeps_the_token_that_is_out", NO_E),
    ("meta_set::an_older_value_may_be_better_than_none", NO_E),
    ("meta_set::the_reply_tells_the_cas_unique_and_the_size", NO_E),
    ("meta_set::values_in_pieces_are_stored_like_whole_ones", NO_E),
    ("meta_set::whatever_else_is_wrong_skips_the_value", "it is told after the value has come"),
    ("meta_writes::ma_compares_and_sets_the_cas_unique", NO_E),
    ("meta_writes::ma_counts_up_and_down", "a mode is one letter"),
    ("meta_writes::ma_creates_a_counter", LOUD_CREATION),
    ("meta_writes::ma_creates_with_the_cas_unique_of_the_client", NO_E),
    ("meta_writes::ma_has_one_answer_to_all_wrong_flags", "a mode is one letter"),
    ("meta_writes::md_empties_an_item", NO_E),
    ("meta_writes::md_gives_a_new_cas_unique_or_that_of_the_client_to_a_stale_item", NO_E),
    ("meta_writes::md_compares_the_cas_unique", NO_E),
    ("meta_writes::md_counts_what_is_really_gone", "the flag x is newer"),
    ("meta_writes::an_item_that_cannot_be_emptied_for_want_of_memory_stays", "the flag x is newer"),
    ("meta_writes::md_x_counts_as_a_deletion", "the flag x is newer"),
];

const OWN_LOG: &str = "memcached logs little, and in other words";
const NO_HTTP: &str = "memcached speaks no HTTP";
const NO_MANAGER: &str = "memcached knows no service manager, no per cent, and no file of options";
const NO_COUNT_OF_HANDSHAKES: &str = "memcached keeps sessions by rules of its own, and counts fewer kinds";
const MARK_IS_LOST: &str =
    "memcached forgets the mark when it makes the item anew, and then sends the raw bytes";
const UNFINISHED: &str = "memcached takes the next datagram, whoever sent it, for the rest of the command";
const OWN_CRAWLS: &str = "memcached crawls and counts by itself as well";
const DEBUG_BUILD: &str = "memcached has these commands in its debug build";
const NO_DELAYS: &str = "memcached lets whoever fails try again at once, for as long as he likes";
const NO_USERS: &str = "memcached has neither rights nor hashes, and does not warn of addresses";
const NO_LIMIT: &str = "memcached has no such limit";
const NO_TIMES: &str = "memcached times no commands";
const NO_TAGS: &str = "memcached counts by tag in its proxy alone";
const NO_HOT_KEYS: &str = "memcached does not count by key";
const NO_SHARE: &str = "memcached counts the commands of a turn alone";
const NO_E: &str = "the flag E is newer";
const ONE_ANSWER: &str = "md has one answer to all wrong flags, as ma has";
const LOUD_CREATION: &str = "a counter that ma creates is answered in quiet mode, too";
const NO_CREATING_APPEND: &str = "the flag N means nothing to an append";
const MISSING_IS_ERROR: &str = "a line with too few tokens is an unknown command: `ERROR`";
const SHORT_IS_ERROR: &str = "a short line is an unknown command: `ERROR`";
const SURPLUS_IS_ERROR: &str = "a line with too many tokens is an unknown command: `ERROR`";
const NOT_SKIPPED: &str = "the data of a refused line is not skipped but read as commands";
const SIGNS_AND_ZEROS: &str = "numbers may have a sign, blanks and any number of zeros in front";

/// Whether a test does not apply to the daemon under test; says so on stdout then. `here` is the path of
/// a function inside the test, as `protocol::storage::add_keeps_the_first_value::here`.
pub fn is_left_out(here: &str) -> bool {
    let name = here.trim_start_matches("protocol::").trim_end_matches("::here");
    let lists = match Kind::under_test() {
        Kind::Larder => [MEMCACHED_ONLY, &[]],
        Kind::Memcached(18) => [LARDER_ONLY, NOT_IN_1_6_18],
        Kind::Memcached(_) => [LARDER_ONLY, NOT_IN_1_6_45],
    };
    let found = lists.into_iter().flatten().find(|(test, _)| *test == name);
    if let Some((test, reason)) = found {
        println!("{test} is left out here: {reason}");
    }
    found.is_some()
}

/// Leaves the calling test if it is listed above as not applying to the daemon under test.
macro_rules! applies {
    () => {
        fn here() {}
        if $crate::differences::is_left_out(std::any::type_name_of_val(&here)) {
            return;
        }
    };
}
pub(crate) use applies;

/// Starts the daemon with default or the given options for the calling test, if the test applies to it.
macro_rules! start {
    () => {
        $crate::differences::start!(&[])
    };
    ($options:expr) => {{
        $crate::differences::applies!();
        $crate::server::Server::with($options)
    }};
}
pub(crate) use start;

#[test]
fn every_listed_test_exists() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("protocol-tests");
    let folders = [folder.clone(), folder.join("tls")];
    let files = folders.into_iter().flat_map(|folder| fs::read_dir(folder).expect("a folder of this suite"));
    let paths = files.map(|file| file.expect("a file of this suite").path());
    let sources: String = paths.filter_map(|path| fs::read_to_string(path).ok()).collect();
    for (test, reason) in [MEMCACHED_ONLY, LARDER_ONLY, NOT_IN_1_6_45, NOT_IN_1_6_18].into_iter().flatten() {
        let function = test.rsplit("::").next().unwrap_or(test);
        assert!(sources.contains(&format!("fn {function}()")), "{test} ({reason}) is gone");
    }
}
