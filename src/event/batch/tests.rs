use super::*;

fn texts(e: EventRef<'_>) -> Vec<(String, String)> {
    e.headers().map(|(k, v)| (k.name().to_owned(), String::from_utf8_lossy(v).into_owned())).collect()
}

#[test]
fn headers_keep_their_order_and_a_repeated_key_its_place() {
    let mut b = Batch::new();
    for i in 0..3u8 {
        b.push(Body::Copy(&[b'a' + i]));
        let v = b.store(b"1");
        b.push_header(Key::HOST, v);
        let v = b.store(b"2");
        b.push_header(Key::TIMESTAMP, v);
    }
    let v = b.store(b"other");
    b.set_header(1, Key::HOST, v);
    for k in ["x1", "x2", "x3", "x4", "x5"] {
        let v = b.store(k.as_bytes());
        b.set_header(1, Key::intern(k).unwrap(), v);
    }
    b.remove_header(1, Key::TIMESTAMP);
    let want: Vec<(String, String)> =
        [("host", "other"), ("x1", "x1"), ("x2", "x2"), ("x3", "x3"), ("x4", "x4"), ("x5", "x5")]
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .to_vec();
    assert_eq!(texts(b.get(1)), want);
    for i in [0, 2] {
        assert_eq!(b.get(i).header(Key::HOST), Some(&b"1"[..]));
        assert_eq!(b.get(i).headers().len(), 2);
    }
}

#[test]
fn spans_of_an_attached_buffer_are_not_copied() {
    let buffer = Buffer::owned(b"hello\nworld\n".to_vec());
    let mut b = Batch::new();
    let s = b.attach(&buffer);
    assert_eq!(b.attach(&buffer), s);
    b.push(Body::At(b.span_of(s, 0, 5)));
    b.push(Body::At(b.span_of(s, 6, 11)));
    assert_eq!(b.get(1).body(), b"world");
    assert_eq!(b.get(0).body_and_rest(), b"hello\nworld\n");
    assert_eq!(b.get(0).body().as_ptr(), buffer.as_ptr());
}

#[test]
fn a_share_that_wastes_its_buffer_is_copied_out() {
    let mut big = vec![b'x'; 60_000];
    big.resize(65_536, 0);
    let buffer = Buffer::owned(big);
    let build = |n: usize| {
        let mut b = Batch::new();
        let s = b.attach(&buffer);
        for i in 0..n {
            b.push(Body::At(b.span_of(s, i * 100, i * 100 + 100)));
        }
        Events::all(Arc::new(b))
    };
    let few = build(10);
    assert!(few.charge() < 2_000, "{}", few.charge());
    let copy = few.clone().compact();
    assert_eq!(copy.charge(), few.charge());
    assert!(copy.iter().map(|e| e.body().to_vec()).eq(few.iter().map(|e| e.body().to_vec())));
    assert!(copy.batch.shared.is_empty());
    let many = build(500);
    assert!(many.charge() >= 65_536);
    assert_eq!(many.compact().batch.shared.len(), 1);
}

#[test]
fn splitting_and_picking() {
    let mut b = Batch::new();
    for i in 0..10u8 {
        b.push(Body::Copy(&[i]));
    }
    let b = Arc::new(b);
    let bodies = |e: &Events| e.iter().map(|e| e.body()[0]).collect::<Vec<_>>();
    let mut odd = Events::picked(b.clone(), vec![1, 3, 5, 7, 9]);
    let front = odd.split_to(2);
    assert_eq!((bodies(&front), bodies(&odd)), (vec![1, 3], vec![5, 7, 9]));
    let mut all = Events::all(b);
    let charge = all.charge();
    let first = all.split_to(99);
    assert!(all.is_empty());
    assert_eq!((first.charge(), all.charge()), (charge, 0));
}

#[test]
fn what_is_picked_is_charged_by_its_own_size() {
    let mut b = Batch::new();
    b.push(Body::Copy(&[b'x'; 100_000]));
    let v = b.store(&[b'v'; 50]);
    b.push_header(Key::HOST, v);
    for _ in 0..99 {
        b.push(Body::Copy(b"small"));
    }
    let b = Arc::new(b);
    let (one, others) = (vec![0], (1..100).collect());
    let (big, small) = (Events::picked(b.clone(), one), Events::picked(b.clone(), others));
    assert!(big.charge() >= 100_050, "{}", big.charge());
    assert!((495..10_000).contains(&small.charge()), "{}", small.charge());
    let copy = small.clone().compact();
    assert_eq!(copy.charge(), small.charge());
    assert!(!copy.is_of_the_batch_of(&small) && big.clone().compact().is_of_the_batch_of(&big));
    let headers = Events::picked(b, vec![0, 1]).compact();
    assert_eq!(headers.iter().next().unwrap().header(Key::HOST).map(<[u8]>::len), Some(50));
}

/// 65,536 bytes in use, of which three fifths go to one channel and the rest to another.
#[test]
fn what_keeps_a_buffer_alive_is_charged_for_all_of_it() {
    let buffer = Buffer::owned(vec![b'x'; 65_536]);
    let mut b = Batch::new();
    let s = b.attach(&buffer);
    for i in 0..64 {
        b.push(Body::At(b.span_of(s, i * 1024, (i + 1) * 1024)));
    }
    let b = Arc::new(b);
    let mut most = Events::picked(b.clone(), (0..39).collect());
    let rest = Events::picked(b, (39..64).collect());
    assert!(most.charge() >= 65_536, "{}", most.charge());
    assert!((25 * 1024..30_000).contains(&rest.charge()), "{}", rest.charge());
    let whole = most.charge();
    let front = most.split_to(13);
    assert_eq!(front.charge(), whole.div_ceil(3), "a part of it has its share");
    assert!(front.charge() + most.charge() >= whole);
}

#[test]
fn more_buffers_than_segments_are_flattened() {
    let mut b = Batch::new();
    for i in 0..600u32 {
        let buffer = Buffer::owned(i.to_string().into_bytes());
        let s = b.attach(&buffer);
        b.push(Body::At(b.span_of(s, 0, buffer.len())));
    }
    assert!(b.iter().map(|e| e.body().to_vec()).eq((0..600).map(|i: u32| i.to_string().into_bytes())));
}

#[test]
fn retain_keeps_order() {
    let mut b = Batch::new();
    for i in 0..6u8 {
        b.push(Body::Copy(&[i]));
    }
    b.retain(|e| e.body()[0] % 2 == 0);
    assert_eq!(b.iter().map(|e| e.body()[0]).collect::<Vec<_>>(), [0, 2, 4]);
}

#[test]
fn changes_keep_account_of_the_shared_bytes() {
    let buffer = Buffer::owned(b"header body".to_vec());
    let mut b = Batch::new();
    let s = b.attach(&buffer);
    b.push(Body::At(b.span_of(s, 7, 11)));
    b.push_header(Key::HOST, b.span_of(s, 0, 6));
    assert_eq!(b.shared_used, 10);
    b.set_header(0, Key::ID, b.body_span(0).part(1, 3));
    assert_eq!((b.shared_used, b.get(0).header(Key::ID)), (12, Some(&b"od"[..])));
    let own = b.store(b"own");
    b.set_header(0, Key::HOST, own);
    assert_eq!(b.shared_used, 6);
    b.set_body(0, own);
    assert_eq!((b.shared_used, b.get(0).body()), (2, &b"own"[..]));
    b.remove_header(0, Key::ID);
    assert_eq!(b.shared_used, 0);
    let weight = b.weight();
    b.set_body(0, b.span_of(s, 0, 11));
    assert_eq!((b.shared_used, b.weight()), (11, weight + 11));
    b.retain(|_| true);
    assert_eq!(b.shared_used, 11);
}
