complete -c larder -s m -l memory-limit -d 'memory for items and their index; with a % behind it (70%) that part of what the control group may have, or the machine if the group has no limit' -r
complete -c larder -s c -l conn-limit -d 'most clients connected at the same time' -r
complete -c larder -s p -l port -d 'TCP port; 0 for no TCP, -1 for any free port' -r
complete -c larder -s U -l udp-port -d 'UDP port, of TCP as well unless --port is given; 0 for no UDP, -1 for any free port' -r
complete -c larder -s l -l listen -d 'addresses to listen on, each with an optional :PORT, separated by commas; * for all, repeatable; with tag[NAME]: before an address, `stats tags` counts its clients by that name; with notls:, btls: or mtls: before it and --enable-ssl, it has no TLS, asks for no certificate of clients, or requires one' -r
complete -c larder -l log-file -d 'append log lines to this file instead of stderr, opened again on SIGHUP when it was moved away; in a config file also: logfile FILE' -r -F
complete -c larder -l log-format -d 'text, or json for an object on each line, with the event, the peer and the user where there are any' -r
complete -c larder -s s -l unix-socket -d 'listen on this Unix socket and on no TCP port' -r -F
complete -c larder -s a -l unix-mask -d 'access mode of the Unix socket' -r
complete -c larder -s f -l slab-growth-factor -d 'growth from one slab class to the next, above 1; without it classes are closer together' -r
complete -c larder -s n -l slab-min-size -d 'room for key, value and flags in the smallest chunk; without it 18' -r
complete -c larder -s t -l threads -d 'worker threads; without this option no more than there are cores' -r
complete -c larder -s D -d 'delimiter of key prefixes; turns on stats detail' -r
complete -c larder -s R -l max-reqs-per-event -d 'requests served per connection before others get their turn' -r
complete -c larder -s b -l listen-backlog -d 'connections that may wait to be accepted' -r
complete -c larder -s B -l protocol -d 'ascii, auto or negotiating; the text protocol is spoken in any case' -r
complete -c larder -s Y -l auth-file -d 'let clients in that log in, by a file with lines user:password; read again on SIGHUP; not over UDP, and not together with --users-file' -r -F
complete -c larder -l users-file -d 'in place of --auth-file: users with hashed passwords (see larder passwd), rights and prefixes of keys; read again on SIGHUP' -r -F
complete -c larder -s I -l max-item-size -d 'largest item in bytes, or with suffix k, m or g; at most half of the memory limit' -r
complete -c larder -s u -l user -d 'become this user when started as root' -r
complete -c larder -s P -l pidfile -d 'write the process id to this file' -r -F
complete -c larder -s o -l extended -d 'suboptions as name or name=value, separated by commas; repeatable' -r -f -a "maxconns_fast\t''
modern\t''
slab_reassign\t''
slab_automove\t''
no_slab_automove\t''
slab_automove_ratio\t''
slab_automove_window\t''
lru_crawler\t''
lru_crawler_sleep\t''
lru_crawler_tocrawl\t''
lru_maintainer\t''
hot_lru_pct\t''
warm_lru_pct\t''
hot_max_factor\t''
warm_max_factor\t''
temporary_ttl\t''
idle_timeout\t''
watcher_logbuf_size\t''
read_buf_mem_limit\t''
track_sizes\t''
drop_privileges\t''
sock_cookie_id\t''
ssl_chain_cert\t''
ssl_key\t''
ssl_verify_mode\t''
ssl_keyformat\t''
ssl_ciphers\t''
ssl_ca_cert\t''
ssl_session_cache\t''
ssl_min_version\t''
lru_policy\t''
udp_public\t''
conns_per_address\t''
login_timeout\t''
hotkeys\t''
metrics_hot_keys\t''"
complete -c larder -s N -l napi-ids -d 'network queues to spread clients by' -r
complete -c larder -s e -l memory-file -d 'keep items over a restart' -r
complete -c larder -l metrics-listen -d 'serve HTTP at HOST:PORT: a page that shows what larder is doing at /, metrics for Prometheus at /metrics, the same as JSON at /api/v1/figures.json, and /healthz and /readyz' -r
complete -c larder -l metrics-host -d 'names with a dot by which --metrics-listen may be asked, as in the URL of a scrape, separated by commas; *.NAME for all below one, * for any, repeatable; addresses and names without a dot need none' -r
complete -c larder -l slow-log-ms -d 'keep what takes so long for `stats slowlog`; 0 for nothing' -r
complete -c larder -l config -d 'read options from this file first; the command line wins over it' -r -F
complete -c larder -s v -l verbose -d 'log more; -vv and -vvv for more yet'
complete -c larder -s M -l disable-evictions -d 'refuse new items when memory is full instead of evicting old ones'
complete -c larder -s A -l enable-shutdown -d 'allow the shutdown command'
complete -c larder -s C -l disable-cas -d 'keep no CAS values'
complete -c larder -s S -l enable-sasl -d 'SASL authentication'
complete -c larder -s W -l disable-watch -d 'refuse watch'
complete -c larder -s d -l daemon -d 'go to the background'
complete -c larder -s r -l enable-coredumps -d 'allow core dumps of any size'
complete -c larder -s k -l lock-memory -d 'keep all memory out of swap'
complete -c larder -s L -l enable-largepages -d 'large pages'
complete -c larder -s Z -l enable-ssl -d 'speak TLS; needs -o ssl_chain_cert and -o ssl_key'
complete -c larder -s F -l disable-flush-all -d 'refuse flush_all'
complete -c larder -s X -l disable-dumping -d 'refuse commands that list keys'
complete -c larder -s h -l help -d 'print this text and exit'
complete -c larder -s i -l license -d 'print the licence and exit'
complete -c larder -s V -l version -d 'print the version and exit'
