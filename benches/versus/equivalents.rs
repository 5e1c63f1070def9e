//! The same loads for other load generators, for those who want to see theirs agree.

use crate::cases::Case;
use crate::cores::Cores;
use crate::options::Options;
use crate::workload::{Arrivals, Popularity, Protocol, Transport, Workload};

/// What differs whatever the options.
const REMARKS: &str = "\
Start the server first, for example `larder -m 1024 -t 1` or `memcached -m 1024 -t 1`, on processors of its own
(taskset -c 0 ..., the load under taskset -c 1 ...). memtier_benchmark counts sets before gets in --ratio and a
pipeline refills as replies come. --rate-limiting holds each connection to a rate, but a slow reply delays the requests
behind it, so that latencies leave out what an open loop shows. memcaslap has no pipeline, stores its window of keys
before it counts, and its sets are of new keys. Neither speaks the meta commands.";

/// Prints the command lines for all cases.
pub fn print(options: &Options, cores: &Cores) {
    let threads = options.load_threads.unwrap_or(cores.load_threads());
    let secs = options.timing.measured.as_secs_f64().ceil();
    println!("{REMARKS}");
    for case in &options.cases {
        println!("\n{}: {}", case.name, case.workload);
        print_case(case, threads, secs);
    }
}

fn print_case(case: &Case, threads: usize, secs: f64) {
    match memtier(&case.workload, threads, secs) {
        Some([fill, load]) => println!("  {fill}\n  {load}"),
        None => println!("  memtier_benchmark: no meta commands"),
    }
    match memcaslap(&case.workload, threads, secs) {
        Ok(lines) => println!("  {lines}"),
        Err(why) => println!("  memcaslap: {why}"),
    }
}

/// The command that stores the keys, and the load.
fn memtier(load: &Workload, threads: usize, secs: f64) -> Option<[String; 2]> {
    if load.protocol == Protocol::Meta {
        return None;
    }
    let clients = load.connections.div_ceil(threads);
    let server = match load.transport {
        Transport::Tcp => "-s 127.0.0.1 -p 11211",
        Transport::Unix => "-S /tmp/cache.socket",
    };
    let lengths = match load.value_bytes {
        bytes if bytes.min == bytes.max => format!("-d {}", bytes.max),
        bytes => format!("--data-size-range={bytes} --data-size-pattern=S"),
    };
    // Keys are as long as ours on average: what is left is a number of up to seven digits.
    let prefix = "k".repeat(load.key_bytes.saturating_sub(load.keys.to_string().len()));
    let common = format!(
        "memtier_benchmark {server} -P memcache_text {lengths} --key-prefix={prefix} --key-minimum=1 \
         --key-maximum={} --hide-histogram",
        load.keys
    );
    let pattern = match load.popularity {
        Popularity::Uniform => "--key-pattern=R:R".to_owned(),
        Popularity::Zipf(exponent) => format!("--key-pattern=Z:Z --key-zipf-exp={exponent}"),
    };
    let mut line = format!(
        "{common} -t {threads} -c {clients} --pipeline={} --ratio={}:{} {pattern} --test-time={secs} \
         --distinct-client-seed",
        load.pipeline, load.ratio.sets, load.ratio.gets
    );
    if load.multiget > 1 {
        line += &format!(" --multi-key-get={}", load.multiget);
    }
    if let Arrivals::Open { per_sec } = load.arrivals {
        let of_each = (per_sec / (threads * clients) as f64).ceil();
        line += &format!(" --rate-limiting={of_each}");
    }
    let fill = format!("{common} -t 1 -c 1 --pipeline=32 --ratio=1:0 --key-pattern=P:P -n allkeys");
    Some([fill, line])
}

/// The command with the file that it reads, or why there is none.
fn memcaslap(load: &Workload, threads: usize, secs: f64) -> Result<String, &'static str> {
    if load.protocol == Protocol::Meta {
        return Err("no meta commands");
    }
    if load.pipeline > 1 {
        return Err("no pipeline");
    }
    // Its --tps (of Debian's 1.1.4) leaves the throughput as it is.
    if load.arrivals != Arrivals::Closed {
        return Err("no open loop");
    }
    if load.transport == Transport::Unix {
        return Err("no Unix sockets");
    }
    if load.popularity != Popularity::Uniform {
        return Err("no zipf");
    }
    let all = f64::from(load.ratio.gets + load.ratio.sets);
    let share = |part: u32| f64::from(part) / all;
    // Connections are spread over threads, and the window of keys over connections.
    let connections = load.connections.next_multiple_of(threads);
    let window_k = (load.keys as usize / connections).div_ceil(1000);
    Ok(format!(
        "printf 'key\\n{key} {key} 1\\nvalue\\n{min} {max} 1\\ncmd\\n0 {sets:.4}\\n1 {gets:.4}\\n' > load.cnf; \
         memcaslap -s 127.0.0.1:11211 -F load.cnf -T {threads} -c {connections} -t {secs}s -w {window_k}k -d {width}",
        key = load.key_bytes,
        min = load.value_bytes.min,
        max = load.value_bytes.max,
        sets = share(load.ratio.sets),
        gets = share(load.ratio.gets),
        width = load.multiget,
    ))
}
