<?php
// PHP's memcached extension (libmemcached) as applications and session stores use it.
// Run by `server.py`, which names the server in LARDER_TEST_ADDRESS. Answers in TAP.

declare(strict_types=1);

[$host, $port] = explode(':', getenv('LARDER_TEST_ADDRESS'));
$port = (int) $port;

/** A client with the given Memcached::OPT_... values, in the text protocol. */
function connect(array $options = []): Memcached
{
    global $host, $port;
    $client = new Memcached();
    $client->setOptions($options + [Memcached::OPT_BINARY_PROTOCOL => false, Memcached::OPT_TCP_NODELAY => true]);
    $client->addServer($host, $port);
    return $client;
}

/** Fails the running test unless both are of the same type and value. */
function same(mixed $expected, mixed $found): void
{
    if ($expected !== $found) {
        [$expected, $found] = array_map(fn ($value) => substr(var_export($value, true), 0, 500), [$expected, $found]);
        throw new UnexpectedValueException("expected $expected\nfound $found");
    }
}

/** Asks again and again until the answer is yes. */
function wait_until(callable $condition): void
{
    $deadline = hrtime(true) + 15_000_000_000;
    while (!$condition()) {
        same(true, hrtime(true) < $deadline);
        usleep(50_000);
    }
}

$tests = [
    'values keep their type' => function (Memcached $cache) {
        $values = ['text', 'ünïcode', "bytes\r\n\0", '', 3, -7, 1.5, true, false, null, ['a' => [1, null]]];
        foreach ($values as $value) {
            same(true, $cache->set('k', $value));
            same($value, $cache->get('k'));
            same(Memcached::RES_SUCCESS, $cache->getResultCode());
        }
        same(true, $cache->delete('k'));
        same(false, $cache->delete('k'));
        same(Memcached::RES_NOTFOUND, $cache->getResultCode());
        same(false, $cache->get('k'));
        same(Memcached::RES_NOTFOUND, $cache->getResultCode());
    },
    'objects come back with each serializer' => function (Memcached $cache) {
        foreach ([Memcached::SERIALIZER_PHP, Memcached::SERIALIZER_IGBINARY, Memcached::SERIALIZER_JSON_ARRAY] as $serializer) {
            $cache->setOption(Memcached::OPT_SERIALIZER, $serializer);
            $value = ['name' => 'anna', 'list' => range(1, 50), 'nested' => ['x' => null]];
            same(true, $cache->set('k', $value));
            same($value, $cache->get('k'));
        }
    },
    'add, replace, append and prepend' => function (Memcached $cache) {
        $cache->setOption(Memcached::OPT_COMPRESSION, false);
        same(false, $cache->replace('k', 'r'));
        same(Memcached::RES_NOTSTORED, $cache->getResultCode());
        same(true, $cache->add('k', 'b'));
        same(false, $cache->add('k', 'x'));
        same(true, $cache->append('k', 'c'));
        same(true, $cache->prepend('k', 'a'));
        same('abc', $cache->get('k'));
        same(true, $cache->replace('k', 'new'));
        same('new', $cache->get('k'));
        same(false, $cache->append('missing', 'x'));
        same(Memcached::RES_NOTSTORED, $cache->getResultCode());
    },
    'counters' => function (Memcached $cache) {
        same(false, $cache->increment('n'));
        same(Memcached::RES_NOTFOUND, $cache->getResultCode());
        $cache->set('n', 10);
        same(11, $cache->increment('n'));
        same(41, $cache->increment('n', 30));
        same(40, $cache->decrement('n'));
        same(0, $cache->decrement('n', 100));
        $cache->set('word', 'abc');
        same(false, $cache->increment('word'));
        same(Memcached::RES_CLIENT_ERROR, $cache->getResultCode());
    },
    'cas notices another writer' => function (Memcached $cache) {
        $cache->set('k', 'first');
        $found = $cache->get('k', null, Memcached::GET_EXTENDED);
        same('first', $found['value']);
        connect()->set('k', 'theirs');
        same(false, $cache->cas($found['cas'], 'k', 'mine'));
        same(Memcached::RES_DATA_EXISTS, $cache->getResultCode());
        $found = $cache->get('k', null, Memcached::GET_EXTENDED);
        same(true, $cache->cas($found['cas'], 'k', 'mine'));
        same('mine', $cache->get('k'));
        same(false, $cache->cas($found['cas'], 'missing', 'x'));
        same(Memcached::RES_NOTFOUND, $cache->getResultCode());
    },
    'user flags' => function (Memcached $cache) {
        $cache->setOption(Memcached::OPT_USER_FLAGS, 0x1234);
        same(true, $cache->set('k', 'v'));
        $found = connect()->get('k', null, Memcached::GET_EXTENDED);
        same(['v', 0x1234], [$found['value'], $found['flags']]);
    },
    'many at once' => function (Memcached $cache) {
        $pairs = [];
        for ($i = 0; $i < 3000; $i++) {
            $pairs["key:$i"] = "value $i";
        }
        same(true, $cache->setMulti($pairs));
        $found = $cache->getMulti([...array_keys($pairs), 'missing'], Memcached::GET_PRESERVE_ORDER);
        same($pairs + ['missing' => null], $found);
        $deleted = $cache->deleteMulti(['key:1', 'key:2', 'missing']);
        same([true, true, Memcached::RES_NOTFOUND], array_values($deleted));
        same(['key:3' => 'value 3'], $cache->getMulti(['key:1', 'key:2', 'key:3']));
    },
    'delayed fetches' => function (Memcached $cache) {
        $cache->setMulti(['a' => 1, 'b' => 2]);
        same(true, $cache->getDelayed(['a', 'b', 'missing'], true));
        $found = [];
        while ($one = $cache->fetch()) {
            $found[$one['key']] = $one['value'];
            same(true, $one['cas'] > 0);
        }
        ksort($found);
        same(['a' => 1, 'b' => 2], $found);
    },
    'large and compressed values' => function (Memcached $cache) {
        $text = str_repeat('a sentence that compresses well. ', 100_000);
        same(true, $cache->set('k', $text));
        same($text, $cache->get('k'));
        $cache->setOption(Memcached::OPT_COMPRESSION, false);
        $bytes = random_bytes(1_000_000);
        same(true, $cache->set('k', $bytes));
        same($bytes, $cache->get('k'));
        same(false, $cache->set('k', str_repeat('x', 2_000_000)));
        same(Memcached::RES_E2BIG, $cache->getResultCode());
        // A value that could not be stored leaves no old one behind.
        same(false, $cache->get('k'));
        same(true, $cache->set('k', 'still there'));
        same('still there', $cache->get('k'));
    },
    'expiry and touch' => function (Memcached $cache) {
        same(true, $cache->set('lost', 'v', 2));
        same(true, $cache->set('kept', 'v', 2));
        same(true, $cache->touch('kept', 100));
        same(false, $cache->touch('missing', 100));
        same(Memcached::RES_NOTFOUND, $cache->getResultCode());
        same(true, $cache->set('absolute', 'v', time() + 100));
        same('v', $cache->get('absolute'));
        same(true, $cache->set('over', 'v', -1));
        same(false, $cache->get('over'));
        wait_until(fn () => $cache->get('lost') === false);
        same('v', $cache->get('kept'));
    },
    'a callback fills what is missing' => function (Memcached $cache) {
        $fill = function (Memcached $cache, string $key, &$value, &$exptime): bool {
            $value = "made for $key";
            $exptime = 100;
            return true;
        };
        same('made for page', $cache->get('page', $fill));
        same('made for page', connect()->get('page'));
    },
    'unusual keys' => function (Memcached $cache) {
        foreach (['k', str_repeat('k', 250), 'a:b/c?d=e&f', '~!@#$%^*()[]{}'] as $key) {
            same(true, $cache->set($key, $key));
            same($key, $cache->get($key));
        }
        same(false, $cache->set('with blank', 'x'));
        same(Memcached::RES_BAD_KEY_PROVIDED, $cache->getResultCode());
        same(false, $cache->set(str_repeat('k', 251), 'x'));
        same(Memcached::RES_BAD_KEY_PROVIDED, $cache->getResultCode());
    },
    'every way of sending stores all' => function () {
        foreach ([
            [Memcached::OPT_NO_BLOCK => true],
            [Memcached::OPT_NOREPLY => true],
            [Memcached::OPT_BUFFER_WRITES => true],
            [Memcached::OPT_NO_BLOCK => true, Memcached::OPT_BUFFER_WRITES => true],
            [Memcached::OPT_PREFIX_KEY => 'app:'],
            [Memcached::OPT_LIBKETAMA_COMPATIBLE => true],
        ] as $options) {
            connect()->flush();
            $cache = connect($options);
            $pairs = [];
            for ($i = 0; $i < 1000; $i++) {
                $pairs["k$i"] = $i;
                $cache->set("k$i", $i);
            }
            $found = $cache->getMulti(array_keys($pairs));
            ksort($found);
            ksort($pairs);
            same($pairs, $found);
        }
    },
    'statistics, version and flush' => function (Memcached $cache) {
        global $host, $port;
        $before = $cache->getStats()["$host:$port"];
        $cache->set('k', 'v');
        $stats = $cache->getStats()["$host:$port"];
        same($before['cmd_set'] + 1, $stats['cmd_set']);
        same(64 << 20, $stats['limit_maxbytes']);
        same(1, preg_match('/^1\.6\.\d+$/', $cache->getVersion()["$host:$port"]));
        same(64 << 20, $cache->getStats('settings')["$host:$port"]['maxbytes']);
        same(true, $cache->flush());
        same(false, $cache->get('k'));
    },
    'sessions' => function () {
        global $host, $port;
        ini_set('session.save_handler', 'memcached');
        ini_set('session.save_path', "$host:$port");
        ini_set('memcached.sess_binary_protocol', '0');
        ini_set('memcached.sess_locking', '1');
        ini_set('session.use_cookies', '0');
        ini_set('session.cache_limiter', '');
        same(true, @session_start());
        $id = session_id();
        $_SESSION['cart'] = ['apples' => 3];
        same(true, session_write_close());
        // The lock is gone, or this would wait for it.
        $_SESSION = [];
        session_id($id);
        same(true, @session_start());
        same(['cart' => ['apples' => 3]], $_SESSION);
        // The lock of an open session keeps another request out.
        same(false, connect()->add("memc.sess.key.lock.$id", 'x', 10));
        same(true, session_destroy());
        same(false, connect()->get("memc.sess.key.$id"));
    },
    'a server that is not there' => function () {
        $cache = new Memcached();
        $cache->addServer('127.0.0.1', 1);
        same(false, $cache->get('k'));
        same(Memcached::RES_CONNECTION_FAILURE, $cache->getResultCode());
    },
];

// A session cannot be started once something was printed.
ob_start();
$failed = 0;
$number = 0;
foreach ($tests as $name => $test) {
    $number++;
    try {
        $cache = connect();
        same(true, $cache->flush());
        $test($cache);
        echo "ok $number - $name\n";
    } catch (Throwable $error) {
        $failed++;
        echo "not ok $number - $name\n";
        $line = $error->getTrace()[0]['line'] ?? $error->getLine();
        echo preg_replace('/^/m', '# ', "line $line: {$error->getMessage()}"), "\n";
    }
}
printf("1..%d\n# pass %d\n# fail %d\n", $number, $number - $failed, $failed);
exit($failed ? 1 : 0);
