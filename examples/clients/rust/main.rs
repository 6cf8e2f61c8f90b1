//! A first program with redis-rs (cargo add redis): main [HOST:PORT]

use redis::{Commands, RedisResult};

fn main() -> RedisResult<()> {
    let addr = std::env::args().nth(1).unwrap_or("127.0.0.1:6380".into());
    let client = redis::Client::open(format!("redis://{addr}"))?;
    let mut con = client.get_connection()?;

    let _: () = con.set_ex("greeting", "hello", 3600)?;
    let greeting: String = con.get("greeting")?;
    println!("get: {greeting}");

    // One round trip, whichever servers the keys are on.
    let mut pipe = redis::pipe();
    for i in 0..100 {
        pipe.set_ex(format!("item:{i}"), i, 3600);
    }
    let replies: Vec<String> = pipe.query(&mut con)?;
    println!("pipeline: {} replies", replies.len());

    let values: Vec<Option<i64>> = con.mget(&["item:1", "item:2", "no such item", "item:99"])?;
    println!("mget: {values:?}");
    Ok(())
}
