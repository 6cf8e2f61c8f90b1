//! The sweep of redis-rs: sweep HOST:PORT [RESP version]
//!
//! It prints "ok NAME" or "FAIL NAME: reason" for each check and exits with 1 if any failed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use futures_util::StreamExt;
use redis::streams::{StreamRangeReply, StreamReadOptions, StreamReadReply};
use redis::{Client, Commands, Connection, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let protocol = args.get(2).map(|v| format!("?protocol=resp{v}")).unwrap_or_default();
    let client = Client::open(format!("redis://{}/{protocol}", args[1])).unwrap();
    let mut c = client.get_connection().unwrap();
    let _: () = c.flushall().unwrap();
    let checks: &[(&str, fn(&Client, &mut Connection) -> RedisResult<()>)] = &[
        ("strings", strings),
        ("hashes", hashes),
        ("lists", lists),
        ("sets", sets),
        ("sorted-sets", sorted_sets),
        ("streams", streams),
        ("hyperloglog", hyperloglog),
        ("geo", geo),
        ("bits", bits),
        ("scan", scan),
        ("pipeline", pipeline),
        ("transaction", transaction),
        ("watch", watch),
        ("scripts", scripts),
        ("blocking", blocking),
        ("pubsub", pubsub),
        ("patterns", patterns),
        ("big-value", big_value),
        ("binary-keys", binary_keys),
        ("mget", mget),
        ("tokio", tokio),
    ];
    let mut failed = false;
    for (name, check) in checks {
        match catch_unwind(AssertUnwindSafe(|| check(&client, &mut c))) {
            Ok(Ok(())) => println!("ok {name}"),
            Ok(Err(e)) => {
                failed = true;
                println!("FAIL {name}: {e}");
            }
            Err(reason) => {
                failed = true;
                println!("FAIL {name}: {}", reason.downcast_ref::<String>().map_or("panic", |s| s));
            }
        }
    }
    std::process::exit(failed.into());
}

fn equal<T: PartialEq + Debug>(got: T, want: T) {
    if got != want {
        panic!("got {}, want {}", shorten(&got), shorten(&want));
    }
}

fn shorten(v: &impl Debug) -> String {
    format!("{v:?}").chars().take(200).collect()
}

fn keys(prefix: &str, n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{prefix}{i}")).collect()
}

fn pairs<T: Clone>(keys: &[T]) -> Vec<(T, T)> {
    keys.iter().map(|k| (k.clone(), k.clone())).collect()
}

fn strings(_: &Client, c: &mut Connection) -> RedisResult<()> {
    let _: () = c.set("s:a", 1)?;
    equal(c.incr("s:a", 41)?, 42);
    equal(c.get("s:none")?, None::<String>);
    let _: () = c.mset(&[("s:1", "a"), ("s:2", "b"), ("s:3", "c")])?;
    let got: Vec<Option<String>> = c.mget(&["s:1", "s:none", "s:3"])?;
    equal(got, vec![Some("a".into()), None, Some("c".into())]);
    equal(c.del(&["s:1", "s:2", "s:none"])?, 2);
    equal(c.mset_nx(&[("{s}1", "a"), ("{s}2", "b")])?, true);
    let _: () = c.rename("{s}1", "{s}3")?;
    let got: RedisResult<i64> = c.incr("{s}3", 1);
    equal(got.unwrap_err().to_string().contains("not an integer"), true);
    Ok(())
}

fn hashes(_: &Client, c: &mut Connection) -> RedisResult<()> {
    let _: () = c.hset_multiple("h", &[("a", "1"), ("b", "2")])?;
    let got: HashMap<String, i64> = c.hgetall("h")?;
    equal(got, HashMap::from([("a".into(), 1), ("b".into(), 2)]));
    equal(c.hincr("h", "a", 4)?, 5);
    let found: RedisResult<Vec<(String, i64)>> = c.hscan("h")?.collect();
    equal(found?.len(), 2);
    Ok(())
}

fn lists(_: &Client, c: &mut Connection) -> RedisResult<()> {
    equal(c.rpush("{l}1", &["a", "b", "c"])?, 3);
    let moved: String = c.lmove("{l}1", "{l}2", redis::Direction::Left, redis::Direction::Right)?;
    equal(moved, "a".into());
    let got: Vec<String> = c.lrange("{l}1", 0, -1)?;
    equal(got, vec!["b".to_string(), "c".into()]);
    Ok(())
}

fn sets(_: &Client, c: &mut Connection) -> RedisResult<()> {
    equal(c.sadd("{t}1", &["a", "b"])?, 2);
    equal(c.sadd("{t}2", &["b", "c"])?, 2);
    let got: HashSet<String> = c.sinter(&["{t}1", "{t}2"])?;
    equal(got, HashSet::from(["b".into()]));
    let got: BTreeSet<String> = c.sunion(&["{t}1", "{t}2"])?;
    equal(got.len(), 3);
    Ok(())
}

fn sorted_sets(_: &Client, c: &mut Connection) -> RedisResult<()> {
    equal(c.zadd_multiple("z", &[(1.0, "a"), (2.5, "b")])?, 2);
    let got: Vec<(String, f64)> = c.zrange_withscores("z", 0, -1)?;
    equal(got, vec![("a".into(), 1.0), ("b".into(), 2.5)]);
    equal(c.zscore("z", "b")?, 2.5);
    Ok(())
}

fn streams(_: &Client, c: &mut Connection) -> RedisResult<()> {
    let mut ids = Vec::new();
    for n in 0..5 {
        let id: String = c.xadd("x", "*", &[("n", n)])?;
        ids.push(id);
    }
    let got: StreamRangeReply = c.xrange_all("x")?;
    equal(got.ids.iter().map(|e| e.id.clone()).collect::<Vec<_>>(), ids.clone());
    let _: () = c.xgroup_create("x", "g", "0")?;
    let options = StreamReadOptions::default().group("g", "me").count(4);
    let got: StreamReadReply = c.xread_options(&["x"], &[">"], &options)?;
    equal(got.keys[0].ids.len(), 4);
    equal(c.xack("x", "g", &ids)?, 4);
    Ok(())
}

fn hyperloglog(_: &Client, c: &mut Connection) -> RedisResult<()> {
    let _: () = c.pfadd("{p}1", keys("", 1000))?;
    let _: () = c.pfmerge("{p}2", "{p}1")?;
    let n: i64 = c.pfcount(&["{p}1", "{p}2"])?;
    equal((n - 1000).abs() < 50, true);
    Ok(())
}

fn geo(_: &Client, c: &mut Connection) -> RedisResult<()> {
    equal(c.geo_add("g", &[("13.361389", "38.115556", "Palermo"), ("15.087269", "37.502669", "Catania")])?, 2);
    let d: f64 = c.geo_dist("g", "Palermo", "Catania", redis::geo::Unit::Kilometers)?;
    equal(d.round(), 166.0);
    Ok(())
}

fn bits(_: &Client, c: &mut Connection) -> RedisResult<()> {
    equal(c.setbit("{b}1", 7, true)?, false);
    equal(c.bit_not("{b}2", "{b}1")?, 1);
    equal(c.bitcount("{b}2")?, 7);
    Ok(())
}

fn scan(_: &Client, c: &mut Connection) -> RedisResult<()> {
    let want: BTreeSet<String> = keys("scan:", 3000).into_iter().collect();
    let _: () = c.mset(&pairs(&want.iter().collect::<Vec<_>>()))?;
    let seen: RedisResult<BTreeSet<String>> = c.scan_match("scan:*")?.collect();
    equal(seen? == want, true);
    let all: BTreeSet<String> = c.keys("scan:*")?;
    equal(all == want, true);
    Ok(())
}

fn pipeline(_: &Client, c: &mut Connection) -> RedisResult<()> {
    let mut p = redis::pipe();
    for k in keys("pipe:", 1000) {
        p.set(&k, &k).ignore().get(&k);
    }
    let got: Vec<String> = p.query(c)?;
    equal(got, keys("pipe:", 1000));
    Ok(())
}

fn transaction(_: &Client, c: &mut Connection) -> RedisResult<()> {
    let (n,): (i64,) = redis::pipe().atomic().set("{tx}a", 1).ignore().incr("{tx}a", 1).query(c)?;
    equal(n, 2);
    let mut p = redis::pipe();
    p.atomic();
    for k in keys("tx:", 50) {
        p.set(k, "x").ignore();
    }
    let got: RedisResult<()> = p.query(c);
    let text = got.expect_err("a transaction over several nodes worked").to_string();
    equal(text.to_lowercase().contains("slot") || text.to_lowercase().contains("abort"), true);
    equal(c.exists(keys("tx:", 50))?, 0);
    Ok(())
}

fn watch(client: &Client, c: &mut Connection) -> RedisResult<()> {
    let mut other = client.get_connection()?;
    let _: () = c.set("{w}a", 5)?;
    let mut tries = 0;
    let (n,): (i64,) = redis::transaction(c, &["{w}a"], |c, p| {
        tries += 1;
        let n: i64 = c.get("{w}a")?;
        if tries == 1 {
            let _: () = other.set("{w}a", 100)?; // so that the first EXEC answers nil and there is a second try
        }
        p.set("{w}a", n + 1).ignore().get("{w}a").query(c)
    })?;
    equal((n, tries), (101, 2));
    Ok(())
}

fn scripts(_: &Client, c: &mut Connection) -> RedisResult<()> {
    let script = redis::Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    for (i, k) in keys("ev:", 30).into_iter().enumerate() {
        let n: usize = script.key(k).arg(i).invoke(c)?;
        equal(n, i);
    }
    let got: RedisResult<Value> = redis::cmd("EVALSHA").arg("0".repeat(40)).arg(1).arg("k").query(c);
    equal(got.unwrap_err().kind(), ErrorKind::Server(ServerErrorKind::NoScript));
    Ok(())
}

fn blocking(client: &Client, c: &mut Connection) -> RedisResult<()> {
    let mut other = client.get_connection()?;
    let pusher = thread::spawn(move || -> RedisResult<i64> {
        thread::sleep(Duration::from_millis(100));
        other.rpush("bl", "x")
    });
    let got: (String, String) = c.blpop("bl", 5.0)?;
    equal(got, ("bl".into(), "x".into()));
    pusher.join().unwrap()?;
    equal(c.blpop("bl:none", 0.1)?, None::<(String, String)>);
    Ok(())
}

fn pubsub(client: &Client, c: &mut Connection) -> RedisResult<()> {
    let mut own = client.get_connection()?;
    let mut sub = own.as_pubsub();
    for k in keys("room:", 20) {
        sub.subscribe(&k)?;
    }
    for k in keys("room:", 20) {
        equal(c.publish(&k, &k)?, 1);
    }
    for _ in 0..20 {
        let m = sub.get_message()?;
        equal(m.get_payload::<String>()?, m.get_channel_name().to_string());
    }
    Ok(())
}

fn patterns(client: &Client, c: &mut Connection) -> RedisResult<()> {
    let mut own = client.get_connection()?;
    let mut sub = own.as_pubsub();
    sub.psubscribe("pat.*")?;
    for k in keys("pat.", 100) {
        equal(c.publish(&k, &k)?, 1);
    }
    for _ in 0..100 {
        let m = sub.get_message()?;
        equal(m.get_pattern::<String>()?, "pat.*".into());
        equal(m.get_payload::<String>()?, m.get_channel_name().to_string());
    }
    Ok(())
}

fn all_bytes(n: usize) -> Vec<u8> {
    (0..n).map(|i| i as u8).collect()
}

fn big_value(_: &Client, c: &mut Connection) -> RedisResult<()> {
    let big = all_bytes(10 << 20);
    let _: () = c.set("big", &big)?;
    let got: Vec<u8> = c.get("big")?;
    equal(got == big, true);
    equal(c.del("big")?, 1);
    Ok(())
}

fn binary_keys(_: &Client, c: &mut Connection) -> RedisResult<()> {
    let mut list: Vec<Vec<u8>> = ["", "\0", "\r\n", "$5\r\nhello\r\n", "{", "{}x"].iter().map(|s| s.as_bytes().to_vec()).collect();
    list.extend([b"{\xff}y".to_vec(), all_bytes(256), vec![b'k'; 70000]]);
    list.extend((0..=255).map(|i| [b"bin:".as_slice(), &[i]].concat()));
    let _: () = c.mset(&pairs(&list))?;
    let got: Vec<Vec<u8>> = c.mget(&list)?;
    equal(got == list, true);
    equal(c.del(&list)?, list.len());
    Ok(())
}

fn mget(_: &Client, c: &mut Connection) -> RedisResult<()> {
    let list = keys("many:", 10000);
    let _: () = c.mset(&pairs(&list))?;
    let got: Vec<String> = c.mget(&list)?;
    equal(got == list, true);
    equal(c.del(&list)?, 10000);
    Ok(())
}

/// The same library's other half: many tasks over one connection, and messages as a stream.
fn tokio(client: &Client, _: &mut Connection) -> RedisResult<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let c = client.get_multiplexed_async_connection().await?;
        let tasks = keys("task:", 200).into_iter().map(|k| {
            let mut c = c.clone();
            async move {
                let _: () = redis::cmd("SET").arg(&k).arg(&k).query_async(&mut c).await?;
                let got: String = redis::cmd("GET").arg(&k).query_async(&mut c).await?;
                Ok::<bool, RedisError>(got == k)
            }
        });
        for same in futures_util::future::join_all(tasks).await {
            equal(same?, true);
        }
        let (mut sink, mut messages) = client.get_async_pubsub().await?.split();
        sink.subscribe("news").await?;
        let n: i64 = redis::cmd("PUBLISH").arg("news").arg("hello").query_async(&mut c.clone()).await?;
        equal(n, 1);
        let m = messages.next().await.expect("a message");
        equal(m.get_payload::<String>()?, "hello".into());
        Ok(())
    })
}
