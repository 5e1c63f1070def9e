//! Where larder and memcached answer differently, with the reasons.
//!
//! A test that is listed here leaves early when it meets the daemon it does not apply to. Owns the lists
//! only; the tests know nothing of each other.

use std::fs;
use std::path::Path;

use crate::server::Kind;

/// Tests of what only memcached does, and why larder need not.
const MEMCACHED_ONLY: &[(&str, &str)] = &[(
    "stats::bytes_are_the_sum_of_memcacheds_item_sizes",
    "larder's items have smaller headers, and `bytes` counts what they really take",
)];

/// Tests of what larder does not do yet; it says so itself when asked for it.
const NOT_YET_IN_LARDER: &[(&str, &str)] =
    &[("process::an_option_may_shut_it_down_by_command", "`--enable-shutdown: not supported yet`")];

/// Tests that memcached fails in every release, and why larder differs.
const LARDER_ONLY: &[(&str, &str)] = &[
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
    ("process::debians_config_file_is_understood", "memcached has no such option, a wrapper reads the file"),
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
    ("arithmetic::missing_arguments_of_incr_and_decr_are_a_bad_line", MISSING_IS_ERROR),
    ("deletion::missing_arguments_of_delete_and_touch_are_a_bad_line", MISSING_IS_ERROR),
    ("retrieval::no_key_is_a_bad_line", MISSING_IS_ERROR),
    ("storage::too_few_tokens_are_refused_at_once_and_nothing_is_skipped", MISSING_IS_ERROR),
    ("numbers::verbosity_needs_a_level", MISSING_IS_ERROR),
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
    ("stats::general_names_come_in_this_order", "some counters are newer"),
    ("stats::settings_names_come_in_this_order", "some settings are newer"),
    ("stats::subcommands_may_be_abbreviated", "they must be exact"),
];

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
        Kind::Larder => [MEMCACHED_ONLY, NOT_YET_IN_LARDER],
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
    let files = fs::read_dir(folder).expect("the folder of this suite");
    let paths = files.map(|file| file.expect("a file of this suite").path());
    let sources: String = paths.filter_map(|path| fs::read_to_string(path).ok()).collect();
    for (test, reason) in
        [MEMCACHED_ONLY, NOT_YET_IN_LARDER, LARDER_ONLY, NOT_IN_1_6_45, NOT_IN_1_6_18].into_iter().flatten()
    {
        let function = test.rsplit("::").next().unwrap_or(test);
        assert!(sources.contains(&format!("fn {function}()")), "{test} ({reason}) is gone");
    }
}
