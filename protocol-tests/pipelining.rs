//! Many commands in one write: every reply, in order, whatever the mix.

use crate::client::fill;
use crate::differences::start;

#[test]
fn ten_thousand_commands_in_one_write() {
    let server = start!();
    let (mut commands, mut replies) = (String::new(), String::new());
    for at in 0..2500 {
        let value = fill(b'v', at % 50);
        commands += &format!(
            "set k{at} {at} 0 {0}\r\n{value}\r\nget k{at} absent\r\nadd k{at} 0 0 1\r\nx\r\ndelete k{at}\r\n",
            value.len()
        );
        replies += &format!(
            "STORED\r\nVALUE k{at} {at} {}\r\n{value}\r\nEND\r\nNOT_STORED\r\nDELETED\r\n",
            value.len()
        );
    }
    server.client().expect(commands, replies);
}

#[test]
fn ten_thousand_counts_in_one_write_from_several_clients() {
    let server = start!();
    let mut clients: Vec<_> = (0..4).map(|_| server.client()).collect();
    clients[0].expect("set n 0 0 1\r\n0\r\n", "STORED\r\n");
    for client in &mut clients {
        client.send("incr n 1 noreply\r\n".repeat(10_000));
    }
    for client in &mut clients {
        client.expect("mn\r\n", "MN\r\n");
    }
    clients[0].expect("incr n 0\r\n", "40000\r\n");
}

#[test]
fn errors_in_the_middle_do_not_disturb_their_neighbours() {
    let server = start!();
    let block = "set k 0 0 1\r\n1\r\nbogus\r\nget k\r\nset k 0 0 x\r\nincr k 1\r\nset k 0 0 1\r\n\
         XYZversions\r\nincr k x\r\nget k\r\n";
    let reply = "STORED\r\nERROR\r\nVALUE k 0 1\r\n1\r\nEND\r\nCLIENT_ERROR bad command line format\r\n\
         2\r\nCLIENT_ERROR bad data chunk\r\nERROR\r\nCLIENT_ERROR invalid numeric delta argument\r\n\
         VALUE k 0 1\r\n2\r\nEND\r\n";
    server.client().expect(block.repeat(300), reply.repeat(300));
}

#[test]
fn effects_follow_the_order_of_the_commands() {
    let server = start!();
    server.client().expect(
        "get k\r\nset k 0 0 1\r\n1\r\nget k\r\nset k 0 0 1\r\n2\r\nget k\r\ndelete k\r\nget k\r\n\
             add k 0 0 1\r\n3\r\nget k k\r\nincr k 4\r\nflush_all\r\nget k\r\n",
        "END\r\nSTORED\r\nVALUE k 0 1\r\n1\r\nEND\r\nSTORED\r\nVALUE k 0 1\r\n2\r\nEND\r\nDELETED\r\n\
             END\r\nSTORED\r\nVALUE k 0 1\r\n3\r\nVALUE k 0 1\r\n3\r\nEND\r\n7\r\nOK\r\nEND\r\n",
    );
}

#[test]
fn large_and_small_values_alternate() {
    let server = start!();
    let large = fill(b'L', 300_000);
    let (mut commands, mut replies) = (String::new(), String::new());
    for at in 0..10 {
        commands += &format!(
            "set large 0 0 300000\r\n{large}\r\nset small 0 0 2\r\n{at:02}\r\nget small large small\r\n"
        );
        replies += &format!(
            "STORED\r\nSTORED\r\nVALUE small 0 2\r\n{at:02}\r\nVALUE large 0 300000\r\n{large}\r\n\
                 VALUE small 0 2\r\n{at:02}\r\nEND\r\n"
        );
    }
    server.client().expect(commands, replies);
}

#[test]
fn a_small_budget_per_turn_changes_no_reply() {
    let server = start!(&["-R", "1"]);
    let mut client = server.client();
    client.expect(
        "set k 0 0 1\r\n0\r\nincr k 1\r\nget k\r\n".repeat(500),
        "STORED\r\n1\r\nVALUE k 0 1\r\n1\r\nEND\r\n".repeat(500),
    );
}

#[test]
fn one_busy_client_does_not_keep_others_waiting() {
    let server = start!(&["-t", "1"]);
    let (mut busy, mut other) = (server.client(), server.client());
    busy.expect("set k 0 0 1\r\n1\r\n", "STORED\r\n");
    let block = "get k\r\n".repeat(100_000);
    std::thread::scope(|scope| {
        scope.spawn(|| busy.expect(&block, "VALUE k 0 1\r\n1\r\nEND\r\n".repeat(100_000)));
        for _ in 0..50 {
            other.expect("get k\r\n", "VALUE k 0 1\r\n1\r\nEND\r\n");
        }
    });
}
