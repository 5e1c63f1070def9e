#!/usr/bin/env python3
"""Writes the first inputs of every target to the folder that is named: ordinary exchanges, one per file.

What fuzzing finds from there is in corpus/. See run.
"""
import pathlib
import sys

CLASSIC = """get a|gets a b c|gat 10 a|gats -1 a b|set a 5 0 3|set a 5 0 3 noreply|add a 0 2592001 0|replace a 0 -1 10
append a 0 0 2|prepend a 0 0 2|cas a 0 0 1 77|cas a 0 0 1 77 noreply|incr a 1|decr a 18446744073709551615
delete a|delete a 0 noreply|touch a 10|touch a 10 noreply|flush_all|flush_all 10|flush_all noreply|version|quit
verbosity 1|stats|stats items|stats cachedump 1 0|cache_memlimit 64|lru tune 10 25 0.1 2.0|lru mode flat
lru temp_ttl 60|slabs reassign 1 2|slabs automove 2|slabs automove ratio 0.9|slabs automove window 5
lru_crawler crawl all|lru_crawler metadump hash p|lru_crawler mgdump all|lru_crawler sleep 100|watch mutations
shutdown graceful|refresh_certs|debugtime p|debugitem ref a|misbehave|flush_prefix a noreply|GET / HTTP/1.1
  get a|bogus|set a x y z"""
META = """a|a v|a s v t f c k O1 q|YQ== b v k|a N30 v t|a R30 v c|a h l t u|a 5 T30 F7 c|a 5 C3 E9 I q|a 2 MA N0|a 2 MR
a 2 Mx|a x T30 q|a N0 J5 D2 v t c|a MD D1|a M- q O7 k|b b|Zm9v Cx|  a  v  k|a v v|a Txx|a -"""
SESSIONS = """set a 0 0 5\\r\\nhello\\r\\nget a\\r\\ngets a b\\r\\n
set a 7 0 1 noreply\\r\\n5\\r\\nincr a 10\\r\\ndecr a 20\\r\\nincr a x\\r\\n
add a 0 0 1\\r\\nx\\r\\nreplace a 0 0 2\\r\\nyz\\r\\nappend a 0 0 1\\r\\n!\\r\\nprepend a 0 0 1\\r\\n?\\r\\nget a\\r\\n
set a 0 10 1\\r\\nx\\r\\ntouch a 100\\r\\ngat 5 a\\r\\ndebugtime 10\\r\\nget a\\r\\n
gets a\\r\\ncas a 0 0 1 1\\r\\nx\\r\\ncas a 0 0 1 2\\r\\ny\\r\\n
ms a 5 T30 c\\r\\nhello\\r\\nmg a s v t f c k O1\\r\\nmd a q\\r\\nmn\\r\\n
ms YQpi S5 b\\r\\nms YQpi 5 b\\r\\nhello\\r\\nmg YQpi b v k\\r\\nme YQpi b\\r\\nlru_crawler mgdump all\\r\\n
mg a N30 v t\\r\\nmg a N30 v t\\r\\nma a N0 J5 v t c\\r\\nma a MD D2 v\\r\\nmd a I T30\\r\\nmg a s v c\\r\\n
set a 0 0 3\\r\\nabcdef\\r\\nset b 0 0 x\\r\\nset c 0 0 2000000\\r\\n
stats\\r\\nstats settings\\r\\nstats items\\r\\nstats slabs\\r\\nstats sizes\\r\\nstats conns\\r\\nstats reset\\r\\n
set ab:c 0 0 1\\r\\nx\\r\\nstats detail on\\r\\nget ab:c\\r\\nstats detail dump\\r\\nstats cachedump 1 0\\r\\n
set a 0 0 1\\r\\nx\\r\\nlru_crawler metadump all\\r\\nflush_prefix a\\r\\nflush_all 10\\r\\nflush_all\\r\\n
watch mutations evictions\\r\\nset a 0 0 1\\r\\nx\\r\\n
lru mode flat\\r\\nlru tune 10 25 0.1 2.0\\r\\nslabs automove 1\\r\\ncache_memlimit 8\\r\\nverbosity 1\\r\\nquit\\r\\nget a\\r\\n
debugitem ref a\\r\\nset a 0 0 1\\r\\nx\\r\\ndebugitem ref a\\r\\ndelete a\\r\\ndebugitem unref a\\r\\n
set {k} 0 0 3\\r\\nabc\\r\\nget {k} {k}x\\r\\nset a 0 0 {n}\\r\\n{v}\\r\\nget a a a\\r\\nappend a 0 0 3\\r\\nxyz\\r\\n
stats detail on\\r\\nms YQ0KRU5EDQo6Yg== 1 b\\r\\nx\\r\\nmg YQ0KRU5EDQo6Yg== b\\r\\nstats detail dump\\r\\n
get {keys}\\r\\n"""
CONFIG = """-m 64\\n-p 11211\\n-u memcache\\n-l 127.0.0.1\\n# -c 1024\\nlogfile /var/log/x.log\\n
memory-limit = 100\\nextended = hashpower=20,no_lru_crawler\\nlisten = ::1\\nport = -1\\nthreads 4\\n
-o modern,idle_timeout=5,slab_automove=2,lru_policy=classic\\n-l tag[a]:127.0.0.1:11211,[::1]:1\\n-U 11211\\n
-I 2m -f 1.5 -n 72 -R 10 -c 5 -b 1024 -t 2 -M -C -vv\\n-s /tmp/x -a 0700\\n-B ascii -F -X -A -P /x\\n
-I 33m\\nbogus\\n= 5\\n-Z\\n"""

USERS = """app nopass read,write prefix=app: prefix=a%20b\\n# comment\\n\\nops certificate all\\nno nopass none\\n
  a nopass read\\na nopass all|a nopass rite|a nopass read prefix=|a certificate read,|a nopass admin,none x|b
a $argon2id$v=19$m=7168,t=5,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b7dWRWJTmaaJObG read,write
a $argon2id$v=19$m=9999999,t=99,p=9$c29tZXNhbHQ$RdescudvJCsgt3ub+b7dWRWJTmaaJObG all
a $argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b7dWRWJTmaaJObG all|a $argon2id$ read
user:password\\n|a:b\\nb:c:d\\n|a:\\n:b\\n|a:b\\r\\n|a:1\\nb:2\\nc:3\\nd:4\\ne:5\\nf:6\\ng:7\\nh:8\\ni:9\\n|:|x"""


def main():
    folder = pathlib.Path(sys.argv[1])

    def write(target, seeds):
        (folder / target).mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds):
            (folder / target / f"seed-{number:02}").write_bytes(seed)

    def split(text):
        return [part.encode() for line in text.split("\n") for part in line.split("|")]

    fillers = {"{k}": "k" * 250, "{n}": "40000", "{v}": "v" * 40000, "{keys}": "key " * 800}
    sessions = []
    for line in SESSIONS.split("\n"):
        for name, filler in fillers.items():
            line = line.replace(name, filler)
        sessions.append(line.replace("\\r\\n", "\r\n").encode())
    write("classic", split(CLASSIC))
    write("meta", split(META))
    write("config", [line.replace("\\n", "\n").encode() for line in CONFIG.split("\n")])
    write("users", [line.replace(b"\\n", b"\n").replace(b"\\r", b"\r") for line in split(USERS)])
    ways = [b"\x81\x01", b"\x80\x90", b"\x00\x01", b"\xff\xf0", b"\x1c\x83"]
    write("session", [ways[n % len(ways)] + seed for n, seed in enumerate(sessions * 2)])
    write("datagram", [b"\x01\x12\x34\x00\x00\x00\x01\x00\x00" + seed for seed in sessions])


main()
