# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_larder_global_optspecs
    string join \n m/memory-limit= c/conn-limit= p/port= U/udp-port= l/listen= v/verbose log-file= log-format= M/disable-evictions s/unix-socket= a/unix-mask= A/enable-shutdown f/slab-growth-factor= n/slab-min-size= t/threads= D= R/max-reqs-per-event= C/disable-cas b/listen-backlog= B/protocol= S/enable-sasl Y/auth-file= users-file= I/max-item-size= W/disable-watch d/daemon u/user= P/pidfile= r/enable-coredumps k/lock-memory L/enable-largepages Z/enable-ssl o/extended= F/disable-flush-all X/disable-dumping N/napi-ids= e/memory-file= metrics-listen= metrics-host= slow-log-ms= config= h/help i/license V/version
end

function __fish_larder_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_larder_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_larder_using_subcommand
    set -l cmd (__fish_larder_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c larder -n "__fish_larder_needs_command" -s m -l memory-limit -d 'memory for items and their index; with a % behind it (70%) that part of what the control group may have, or the machine if the group has no limit' -r
complete -c larder -n "__fish_larder_needs_command" -s c -l conn-limit -d 'most clients connected at the same time' -r
complete -c larder -n "__fish_larder_needs_command" -s p -l port -d 'TCP port; 0 for no TCP, -1 for any free port' -r
complete -c larder -n "__fish_larder_needs_command" -s U -l udp-port -d 'UDP port, of TCP as well unless --port is given; 0 for no UDP, -1 for any free port' -r
complete -c larder -n "__fish_larder_needs_command" -s l -l listen -d 'addresses to listen on, each with an optional :PORT, separated by commas; * for all, repeatable; with tag[NAME]: before an address, `stats tags` counts its clients by that name; with notls:, btls: or mtls: before it and --enable-ssl, it has no TLS, asks for no certificate of clients, or requires one' -r
complete -c larder -n "__fish_larder_needs_command" -l log-file -d 'append log lines to this file instead of stderr, opened again on SIGHUP when it was moved away; in a config file also: logfile FILE' -r -F
complete -c larder -n "__fish_larder_needs_command" -l log-format -d 'text, or json for an object on each line, with the event, the peer and the user where there are any' -r
complete -c larder -n "__fish_larder_needs_command" -s s -l unix-socket -d 'listen on this Unix socket and on no TCP port' -r -F
complete -c larder -n "__fish_larder_needs_command" -s a -l unix-mask -d 'access mode of the Unix socket' -r
complete -c larder -n "__fish_larder_needs_command" -s f -l slab-growth-factor -d 'growth from one slab class to the next, above 1; without it classes are closer together' -r
complete -c larder -n "__fish_larder_needs_command" -s n -l slab-min-size -d 'room for key, value and flags in the smallest chunk; without it 18' -r
complete -c larder -n "__fish_larder_needs_command" -s t -l threads -d 'worker threads; without this option no more than there are cores' -r
complete -c larder -n "__fish_larder_needs_command" -s D -d 'delimiter of key prefixes; turns on stats detail' -r
complete -c larder -n "__fish_larder_needs_command" -s R -l max-reqs-per-event -d 'requests served per connection before others get their turn' -r
complete -c larder -n "__fish_larder_needs_command" -s b -l listen-backlog -d 'connections that may wait to be accepted' -r
complete -c larder -n "__fish_larder_needs_command" -s B -l protocol -d 'ascii, auto or negotiating; the text protocol is spoken in any case' -r
complete -c larder -n "__fish_larder_needs_command" -s Y -l auth-file -d 'let clients in that log in, by a file with lines user:password; read again on SIGHUP; not over UDP, and not together with --users-file' -r -F
complete -c larder -n "__fish_larder_needs_command" -l users-file -d 'in place of --auth-file: users with hashed passwords (see larder passwd), rights and prefixes of keys; read again on SIGHUP' -r -F
complete -c larder -n "__fish_larder_needs_command" -s I -l max-item-size -d 'largest item in bytes, or with suffix k, m or g; at most half of the memory limit' -r
complete -c larder -n "__fish_larder_needs_command" -s u -l user -d 'become this user when started as root' -r
complete -c larder -n "__fish_larder_needs_command" -s P -l pidfile -d 'write the process id to this file' -r -F
complete -c larder -n "__fish_larder_needs_command" -s o -l extended -d 'suboptions as name or name=value, separated by commas; repeatable' -r -f -a "maxconns_fast\t''
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
complete -c larder -n "__fish_larder_needs_command" -s N -l napi-ids -d 'network queues to spread clients by' -r
complete -c larder -n "__fish_larder_needs_command" -s e -l memory-file -d 'keep items over a restart' -r
complete -c larder -n "__fish_larder_needs_command" -l metrics-listen -d 'serve HTTP at HOST:PORT: a page that shows what larder is doing at /, metrics for Prometheus at /metrics, the same as JSON at /api/v1/figures.json, and /healthz and /readyz' -r
complete -c larder -n "__fish_larder_needs_command" -l metrics-host -d 'names with a dot by which --metrics-listen may be asked, as in the URL of a scrape, separated by commas; *.NAME for all below one, * for any, repeatable; addresses and names without a dot need none' -r
complete -c larder -n "__fish_larder_needs_command" -l slow-log-ms -d 'keep what takes so long for `stats slowlog`; 0 for nothing' -r
complete -c larder -n "__fish_larder_needs_command" -l config -d 'read options from this file first; the command line wins over it' -r -F
complete -c larder -n "__fish_larder_needs_command" -s v -l verbose -d 'log more; -vv and -vvv for more yet'
complete -c larder -n "__fish_larder_needs_command" -s M -l disable-evictions -d 'refuse new items when memory is full instead of evicting old ones'
complete -c larder -n "__fish_larder_needs_command" -s A -l enable-shutdown -d 'allow the shutdown command'
complete -c larder -n "__fish_larder_needs_command" -s C -l disable-cas -d 'keep no CAS values'
complete -c larder -n "__fish_larder_needs_command" -s S -l enable-sasl -d 'SASL authentication'
complete -c larder -n "__fish_larder_needs_command" -s W -l disable-watch -d 'refuse watch'
complete -c larder -n "__fish_larder_needs_command" -s d -l daemon -d 'go to the background'
complete -c larder -n "__fish_larder_needs_command" -s r -l enable-coredumps -d 'allow core dumps of any size'
complete -c larder -n "__fish_larder_needs_command" -s k -l lock-memory -d 'keep all memory out of swap'
complete -c larder -n "__fish_larder_needs_command" -s L -l enable-largepages -d 'large pages'
complete -c larder -n "__fish_larder_needs_command" -s Z -l enable-ssl -d 'speak TLS; needs -o ssl_chain_cert and -o ssl_key'
complete -c larder -n "__fish_larder_needs_command" -s F -l disable-flush-all -d 'refuse flush_all'
complete -c larder -n "__fish_larder_needs_command" -s X -l disable-dumping -d 'refuse commands that list keys'
complete -c larder -n "__fish_larder_needs_command" -s h -l help -d 'print this text and exit'
complete -c larder -n "__fish_larder_needs_command" -s i -l license -d 'print the licence and exit'
complete -c larder -n "__fish_larder_needs_command" -s V -l version -d 'print the version and exit'
complete -c larder -n "__fish_larder_needs_command" -f -a "passwd" -d 'Print a line for --users-file, with a password that is read'
complete -c larder -n "__fish_larder_needs_command" -f -a "top" -d 'Watch servers in a terminal: requests, hit ratio, memory, slab classes, latency, hot keys'
complete -c larder -n "__fish_larder_needs_command" -f -a "stats" -d 'Show the statistics of a server'
complete -c larder -n "__fish_larder_needs_command" -f -a "ping" -d 'See whether a server answers, and how soon'
complete -c larder -n "__fish_larder_needs_command" -f -a "get" -d 'Print the value of an item'
complete -c larder -n "__fish_larder_needs_command" -f -a "set" -d 'Store an item'
complete -c larder -n "__fish_larder_needs_command" -f -a "delete" -d 'Delete an item'
complete -c larder -n "__fish_larder_needs_command" -f -a "dump" -d 'Print the keys of a server, or its items as commands that store them again'
complete -c larder -n "__fish_larder_needs_command" -f -a "flush" -d 'Delete all items of a server, or those with a prefix'
complete -c larder -n "__fish_larder_needs_command" -f -a "bench" -d 'Put a load on a server, check each reply and tell how long it took'
complete -c larder -n "__fish_larder_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c larder -n "__fish_larder_using_subcommand top" -s i -l interval -d 'How long to wait between two looks' -r
complete -c larder -n "__fish_larder_using_subcommand top" -l size -d 'The size of what --once prints' -r
complete -c larder -n "__fish_larder_using_subcommand top" -l user -d 'Log in where that is wanted; password from --password-file, LARDER_PASSWORD or the terminal' -r
complete -c larder -n "__fish_larder_using_subcommand top" -l password-file -d 'A file whose first line is the password' -r -F
complete -c larder -n "__fish_larder_using_subcommand top" -l ca-cert -d 'Certificates to trust, PEM [default: those of the system]' -r -F
complete -c larder -n "__fish_larder_using_subcommand top" -l cert -d 'The certificate to show, PEM' -r -F
complete -c larder -n "__fish_larder_using_subcommand top" -l key -d 'Its private key, PEM' -r -F
complete -c larder -n "__fish_larder_using_subcommand top" -l server-name -d 'The name that the server\'s certificate must have [default: the host]' -r
complete -c larder -n "__fish_larder_using_subcommand top" -l timeout -d 'How long to wait for a connection, an answer, and every further 16 KiB' -r
complete -c larder -n "__fish_larder_using_subcommand top" -l once -d 'Look twice, print as text what a terminal would show, and end'
complete -c larder -n "__fish_larder_using_subcommand top" -l json -d 'After each look a line of JSON for each server, or its problem; with --once after the second alone'
complete -c larder -n "__fish_larder_using_subcommand top" -l tls -d 'Speak TLS'
complete -c larder -n "__fish_larder_using_subcommand stats" -l watch -d 'Every so many seconds show what has changed, and by how much per second' -r
complete -c larder -n "__fish_larder_using_subcommand stats" -l user -d 'Log in where that is wanted; password from --password-file, LARDER_PASSWORD or the terminal' -r
complete -c larder -n "__fish_larder_using_subcommand stats" -l password-file -d 'A file whose first line is the password' -r -F
complete -c larder -n "__fish_larder_using_subcommand stats" -l ca-cert -d 'Certificates to trust, PEM [default: those of the system]' -r -F
complete -c larder -n "__fish_larder_using_subcommand stats" -l cert -d 'The certificate to show, PEM' -r -F
complete -c larder -n "__fish_larder_using_subcommand stats" -l key -d 'Its private key, PEM' -r -F
complete -c larder -n "__fish_larder_using_subcommand stats" -l server-name -d 'The name that the server\'s certificate must have [default: the host]' -r
complete -c larder -n "__fish_larder_using_subcommand stats" -l timeout -d 'How long to wait for a connection, an answer, and every further 16 KiB' -r
complete -c larder -n "__fish_larder_using_subcommand stats" -l json -d 'One JSON object; with --watch one on each line, with all statistics'
complete -c larder -n "__fish_larder_using_subcommand stats" -l tls -d 'Speak TLS'
complete -c larder -n "__fish_larder_using_subcommand ping" -s c -l count -d 'How often to ask' -r
complete -c larder -n "__fish_larder_using_subcommand ping" -l interval -d 'How long to wait between two questions' -r
complete -c larder -n "__fish_larder_using_subcommand ping" -l user -d 'Log in where that is wanted; password from --password-file, LARDER_PASSWORD or the terminal' -r
complete -c larder -n "__fish_larder_using_subcommand ping" -l password-file -d 'A file whose first line is the password' -r -F
complete -c larder -n "__fish_larder_using_subcommand ping" -l ca-cert -d 'Certificates to trust, PEM [default: those of the system]' -r -F
complete -c larder -n "__fish_larder_using_subcommand ping" -l cert -d 'The certificate to show, PEM' -r -F
complete -c larder -n "__fish_larder_using_subcommand ping" -l key -d 'Its private key, PEM' -r -F
complete -c larder -n "__fish_larder_using_subcommand ping" -l server-name -d 'The name that the server\'s certificate must have [default: the host]' -r
complete -c larder -n "__fish_larder_using_subcommand ping" -l timeout -d 'How long to wait for a connection, an answer, and every further 16 KiB' -r
complete -c larder -n "__fish_larder_using_subcommand ping" -l json -d 'One JSON object, times in microseconds'
complete -c larder -n "__fish_larder_using_subcommand ping" -l tls -d 'Speak TLS'
complete -c larder -n "__fish_larder_using_subcommand get" -l user -d 'Log in where that is wanted; password from --password-file, LARDER_PASSWORD or the terminal' -r
complete -c larder -n "__fish_larder_using_subcommand get" -l password-file -d 'A file whose first line is the password' -r -F
complete -c larder -n "__fish_larder_using_subcommand get" -l ca-cert -d 'Certificates to trust, PEM [default: those of the system]' -r -F
complete -c larder -n "__fish_larder_using_subcommand get" -l cert -d 'The certificate to show, PEM' -r -F
complete -c larder -n "__fish_larder_using_subcommand get" -l key -d 'Its private key, PEM' -r -F
complete -c larder -n "__fish_larder_using_subcommand get" -l server-name -d 'The name that the server\'s certificate must have [default: the host]' -r
complete -c larder -n "__fish_larder_using_subcommand get" -l timeout -d 'How long to wait for a connection, an answer, and every further 16 KiB' -r
complete -c larder -n "__fish_larder_using_subcommand get" -l json -d 'One JSON object with key, flags, and value or value_base64'
complete -c larder -n "__fish_larder_using_subcommand get" -l tls -d 'Speak TLS'
complete -c larder -n "__fish_larder_using_subcommand set" -l ttl -d 'Seconds that the item lives; 0 for ever' -r
complete -c larder -n "__fish_larder_using_subcommand set" -l flags -d 'A number to be kept with the item' -r
complete -c larder -n "__fish_larder_using_subcommand set" -l user -d 'Log in where that is wanted; password from --password-file, LARDER_PASSWORD or the terminal' -r
complete -c larder -n "__fish_larder_using_subcommand set" -l password-file -d 'A file whose first line is the password' -r -F
complete -c larder -n "__fish_larder_using_subcommand set" -l ca-cert -d 'Certificates to trust, PEM [default: those of the system]' -r -F
complete -c larder -n "__fish_larder_using_subcommand set" -l cert -d 'The certificate to show, PEM' -r -F
complete -c larder -n "__fish_larder_using_subcommand set" -l key -d 'Its private key, PEM' -r -F
complete -c larder -n "__fish_larder_using_subcommand set" -l server-name -d 'The name that the server\'s certificate must have [default: the host]' -r
complete -c larder -n "__fish_larder_using_subcommand set" -l timeout -d 'How long to wait for a connection, an answer, and every further 16 KiB' -r
complete -c larder -n "__fish_larder_using_subcommand set" -l tls -d 'Speak TLS'
complete -c larder -n "__fish_larder_using_subcommand delete" -l user -d 'Log in where that is wanted; password from --password-file, LARDER_PASSWORD or the terminal' -r
complete -c larder -n "__fish_larder_using_subcommand delete" -l password-file -d 'A file whose first line is the password' -r -F
complete -c larder -n "__fish_larder_using_subcommand delete" -l ca-cert -d 'Certificates to trust, PEM [default: those of the system]' -r -F
complete -c larder -n "__fish_larder_using_subcommand delete" -l cert -d 'The certificate to show, PEM' -r -F
complete -c larder -n "__fish_larder_using_subcommand delete" -l key -d 'Its private key, PEM' -r -F
complete -c larder -n "__fish_larder_using_subcommand delete" -l server-name -d 'The name that the server\'s certificate must have [default: the host]' -r
complete -c larder -n "__fish_larder_using_subcommand delete" -l timeout -d 'How long to wait for a connection, an answer, and every further 16 KiB' -r
complete -c larder -n "__fish_larder_using_subcommand delete" -l tls -d 'Speak TLS'
complete -c larder -n "__fish_larder_using_subcommand dump" -l prefix -d 'Only keys that begin so' -r
complete -c larder -n "__fish_larder_using_subcommand dump" -l user -d 'Log in where that is wanted; password from --password-file, LARDER_PASSWORD or the terminal' -r
complete -c larder -n "__fish_larder_using_subcommand dump" -l password-file -d 'A file whose first line is the password' -r -F
complete -c larder -n "__fish_larder_using_subcommand dump" -l ca-cert -d 'Certificates to trust, PEM [default: those of the system]' -r -F
complete -c larder -n "__fish_larder_using_subcommand dump" -l cert -d 'The certificate to show, PEM' -r -F
complete -c larder -n "__fish_larder_using_subcommand dump" -l key -d 'Its private key, PEM' -r -F
complete -c larder -n "__fish_larder_using_subcommand dump" -l server-name -d 'The name that the server\'s certificate must have [default: the host]' -r
complete -c larder -n "__fish_larder_using_subcommand dump" -l timeout -d 'How long to wait for a connection, an answer, and every further 16 KiB' -r
complete -c larder -n "__fish_larder_using_subcommand dump" -l values -d 'Values as well: commands that can be sent to a server as they are'
complete -c larder -n "__fish_larder_using_subcommand dump" -l json -d 'A JSON object on each line, with key or key_base64; with --values also with value or value_base64'
complete -c larder -n "__fish_larder_using_subcommand dump" -l tls -d 'Speak TLS'
complete -c larder -n "__fish_larder_using_subcommand flush" -l delay -d 'Only in so many seconds' -r
complete -c larder -n "__fish_larder_using_subcommand flush" -l prefix -d 'Only items whose keys begin so; larder alone can do that' -r
complete -c larder -n "__fish_larder_using_subcommand flush" -l user -d 'Log in where that is wanted; password from --password-file, LARDER_PASSWORD or the terminal' -r
complete -c larder -n "__fish_larder_using_subcommand flush" -l password-file -d 'A file whose first line is the password' -r -F
complete -c larder -n "__fish_larder_using_subcommand flush" -l ca-cert -d 'Certificates to trust, PEM [default: those of the system]' -r -F
complete -c larder -n "__fish_larder_using_subcommand flush" -l cert -d 'The certificate to show, PEM' -r -F
complete -c larder -n "__fish_larder_using_subcommand flush" -l key -d 'Its private key, PEM' -r -F
complete -c larder -n "__fish_larder_using_subcommand flush" -l server-name -d 'The name that the server\'s certificate must have [default: the host]' -r
complete -c larder -n "__fish_larder_using_subcommand flush" -l timeout -d 'How long to wait for a connection, an answer, and every further 16 KiB' -r
complete -c larder -n "__fish_larder_using_subcommand flush" -s y -l yes -d 'Do not ask, as is done on a terminal'
complete -c larder -n "__fish_larder_using_subcommand flush" -l tls -d 'Speak TLS'
complete -c larder -n "__fish_larder_using_subcommand bench" -l seconds -d 'How long to go on, after all keys were stored' -r
complete -c larder -n "__fish_larder_using_subcommand bench" -l connections -d 'Connections, each with a thread of its own' -r
complete -c larder -n "__fish_larder_using_subcommand bench" -l pipeline -d 'Requests that are sent together; times --value-bytes 16 MiB at most, for each connection' -r
complete -c larder -n "__fish_larder_using_subcommand bench" -l keys -d 'How many keys there are' -r
complete -c larder -n "__fish_larder_using_subcommand bench" -l value-bytes -d 'Bytes of a value' -r
complete -c larder -n "__fish_larder_using_subcommand bench" -l sets -d 'How many of a hundred requests store a value; the others get one' -r
complete -c larder -n "__fish_larder_using_subcommand bench" -l user -d 'Log in where that is wanted; password from --password-file, LARDER_PASSWORD or the terminal' -r
complete -c larder -n "__fish_larder_using_subcommand bench" -l password-file -d 'A file whose first line is the password' -r -F
complete -c larder -n "__fish_larder_using_subcommand bench" -l ca-cert -d 'Certificates to trust, PEM [default: those of the system]' -r -F
complete -c larder -n "__fish_larder_using_subcommand bench" -l cert -d 'The certificate to show, PEM' -r -F
complete -c larder -n "__fish_larder_using_subcommand bench" -l key -d 'Its private key, PEM' -r -F
complete -c larder -n "__fish_larder_using_subcommand bench" -l server-name -d 'The name that the server\'s certificate must have [default: the host]' -r
complete -c larder -n "__fish_larder_using_subcommand bench" -l timeout -d 'How long to wait for a connection, an answer, and every further 16 KiB' -r
complete -c larder -n "__fish_larder_using_subcommand bench" -l json -d 'One JSON object'
complete -c larder -n "__fish_larder_using_subcommand bench" -l tls -d 'Speak TLS'
complete -c larder -n "__fish_larder_using_subcommand help; and not __fish_seen_subcommand_from passwd top stats ping get set delete dump flush bench help" -f -a "passwd" -d 'Print a line for --users-file, with a password that is read'
complete -c larder -n "__fish_larder_using_subcommand help; and not __fish_seen_subcommand_from passwd top stats ping get set delete dump flush bench help" -f -a "top" -d 'Watch servers in a terminal: requests, hit ratio, memory, slab classes, latency, hot keys'
complete -c larder -n "__fish_larder_using_subcommand help; and not __fish_seen_subcommand_from passwd top stats ping get set delete dump flush bench help" -f -a "stats" -d 'Show the statistics of a server'
complete -c larder -n "__fish_larder_using_subcommand help; and not __fish_seen_subcommand_from passwd top stats ping get set delete dump flush bench help" -f -a "ping" -d 'See whether a server answers, and how soon'
complete -c larder -n "__fish_larder_using_subcommand help; and not __fish_seen_subcommand_from passwd top stats ping get set delete dump flush bench help" -f -a "get" -d 'Print the value of an item'
complete -c larder -n "__fish_larder_using_subcommand help; and not __fish_seen_subcommand_from passwd top stats ping get set delete dump flush bench help" -f -a "set" -d 'Store an item'
complete -c larder -n "__fish_larder_using_subcommand help; and not __fish_seen_subcommand_from passwd top stats ping get set delete dump flush bench help" -f -a "delete" -d 'Delete an item'
complete -c larder -n "__fish_larder_using_subcommand help; and not __fish_seen_subcommand_from passwd top stats ping get set delete dump flush bench help" -f -a "dump" -d 'Print the keys of a server, or its items as commands that store them again'
complete -c larder -n "__fish_larder_using_subcommand help; and not __fish_seen_subcommand_from passwd top stats ping get set delete dump flush bench help" -f -a "flush" -d 'Delete all items of a server, or those with a prefix'
complete -c larder -n "__fish_larder_using_subcommand help; and not __fish_seen_subcommand_from passwd top stats ping get set delete dump flush bench help" -f -a "bench" -d 'Put a load on a server, check each reply and tell how long it took'
complete -c larder -n "__fish_larder_using_subcommand help; and not __fish_seen_subcommand_from passwd top stats ping get set delete dump flush bench help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
