//! Uploads that can be gone on with: cut off, restarted, ousted, completed twice.

use std::fs;
use std::io::Write;
use std::sync::mpsc::channel;
use std::time::Duration;

use sendrail_files::{
    ArrivalError, Condition, Digest, Landing, ResumableTerms, Resumed, Terms, Upload, UploadId,
};

use crate::{landing, len, names, options, pattern, put, temp};

fn create(landing: &Landing, path: &str, terms: Terms) -> Upload {
    landing.create(path.as_bytes(), terms, ResumableTerms::default()).unwrap()
}

fn append(upload: &mut Upload, bytes: &[u8]) -> u64 {
    let at = upload.offset();
    rustix::fs::seek(upload.file(), rustix::fs::SeekFrom::Start(at)).unwrap();
    upload.claim(at + bytes.len() as u64).unwrap();
    upload.file().write_all(bytes).unwrap();
    upload.advanced(bytes.len() as u64).unwrap()
}

fn open(landing: &Landing, id: UploadId) -> Upload {
    match landing.resume(id, None).unwrap() {
        Resumed::Open(upload) => upload,
        Resumed::Completed(completed) => panic!("{completed:?}"),
    }
}

#[test]
fn in_parts_across_restarts() {
    for sync in [false, true] {
        let temp = temp();
        let bytes = pattern(300_000, 1);
        let (first, rest) = bytes.split_at(123_457);
        let before =
            crate::landing_with(temp.path(), sendrail_files::LandingOptions { sync, ..options() });
        let resumable =
            ResumableTerms { note: b"If-Match: \"a\"\n\xff".into(), ..ResumableTerms::default() };
        let mut upload = before.create(b"a", len(bytes.len()), resumable).unwrap();
        let id = upload.id();
        assert_eq!(append(&mut upload, first), first.len() as u64);
        drop((upload, before));
        assert!(!temp.path().join("a").exists());

        let after = landing(temp.path());
        let mut upload = open(&after, id);
        assert_eq!((upload.offset(), upload.len()), (first.len() as u64, Some(bytes.len() as u64)));
        assert_eq!((upload.path(), upload.note()), (&b"a"[..], &b"If-Match: \"a\"\n\xff"[..]));
        assert!(upload.expires_in() <= Duration::from_hours(1));
        rustix::fs::seek(upload.file(), rustix::fs::SeekFrom::End(0)).unwrap();
        upload.file().write_all(rest).unwrap();
        upload.arrived(rest.len() as u64);
        assert_eq!(upload.offset(), bytes.len() as u64);
        assert!(upload.complete(None).unwrap().created);
        drop(upload);
        assert_eq!(fs::read(temp.path().join("a")).unwrap(), bytes);

        let Resumed::Completed(completed) = landing(temp.path()).resume(id, None).unwrap() else {
            panic!("it is complete")
        };
        assert!(completed.created && completed.len == bytes.len() as u64);
        assert_eq!(completed.facts.unwrap().len, bytes.len() as u64);
        assert_eq!(names(&temp.path().join(".uploads")), [format!("{id}.about")]);
        put(&after, "a", b"another");
        let Resumed::Completed(completed) = after.resume(id, None).unwrap() else { panic!() };
        assert!(completed.facts.is_none(), "what is there now is another file");
    }
}

#[test]
fn only_its_owner_goes_on() {
    let temp = temp();
    let landing = landing(temp.path());
    let owner = Some("alice".to_owned());
    let resumable = ResumableTerms { owner, ..ResumableTerms::default() };
    let id = landing.create(b"a", Terms::default(), resumable).unwrap().id();
    for other in [None, Some("bob"), Some("")] {
        assert!(matches!(landing.resume(id, other), Err(ArrivalError::NotFound)));
    }
    assert!(landing.resume(id, Some("alice")).is_ok());
    let unknown = UploadId::parse(b"00112233445566778899aabbccddeeff").unwrap();
    assert!(matches!(landing.resume(unknown, None), Err(ArrivalError::NotFound)));
}

#[test]
fn one_at_a_time_and_the_newer_one_wins() {
    let temp = temp();
    let landing = landing(temp.path());
    let mut older = create(&landing, "a", Terms::default());
    let id = older.id();
    append(&mut older, b"what has arrived ");
    let (said, hears) = channel();
    let asked = said.clone();
    older.stop().on_asked(move || asked.send("stop").unwrap());
    assert!(matches!(landing.resume(id, None), Err(ArrivalError::Busy)));
    assert_eq!(hears.try_recv(), Ok("stop"));
    landing.when_free(id, move || said.send("free").unwrap());
    drop(older);
    assert_eq!(hears.try_recv(), Ok("free"));
    let mut newer = open(&landing, id);
    assert_eq!(newer.offset(), 17);
    append(&mut newer, b"stays");
    newer.complete(None).unwrap();
    assert_eq!(fs::read(temp.path().join("a")).unwrap(), b"what has arrived stays");
}

#[test]
fn another_process_does_not_go_on_either() {
    let temp = temp();
    let (ours, theirs) = (landing(temp.path()), landing(temp.path()));
    let mut upload = create(&ours, "a", Terms::default());
    append(&mut upload, b"abc");
    assert!(matches!(theirs.resume(upload.id(), None), Err(ArrivalError::Elsewhere)));
    assert!(!upload.stop().is_asked(), "it cannot be told");
    assert_eq!(theirs.sweep().unwrap().removed, 0);
    let id = upload.id();
    drop(upload);
    assert_eq!(open(&theirs, id).offset(), 3);
}

#[test]
fn cancelled_is_gone() {
    let temp = temp();
    let landing = landing(temp.path());
    let mut upload = create(&landing, "a", len(10));
    append(&mut upload, b"abc");
    assert_eq!(landing.used(), 10);
    let id = upload.id();
    upload.cancel().unwrap();
    assert!(matches!(landing.resume(id, None), Err(ArrivalError::NotFound)));
    assert!(names(&temp.path().join(".uploads")).is_empty());
    assert_eq!(landing.used(), 0);
}

#[test]
fn lengths_must_agree() {
    let temp = temp();
    let landing = landing(temp.path());
    let mut upload = create(&landing, "a", Terms::default());
    append(&mut upload, b"abc");
    assert!(matches!(upload.announce(2), Err(ArrivalError::Length { announced: 2, arrived: 3 })));
    upload.announce(5).unwrap();
    upload.announce(5).unwrap();
    assert!(matches!(upload.announce(6), Err(ArrivalError::Length { announced: 5, arrived: 6 })));
    assert!(matches!(upload.claim(6), Err(ArrivalError::Length { announced: 5, arrived: 6 })));
    assert!(matches!(
        upload.complete(None),
        Err(ArrivalError::Length { announced: 5, arrived: 3 })
    ));
    let id = upload.id();
    drop(upload);
    let mut upload = open(&landing, id);
    assert_eq!(upload.len(), Some(5), "also after a restart");
    append(&mut upload, b"de");
    upload.complete(None).unwrap();
    assert_eq!(fs::read(temp.path().join("a")).unwrap(), b"abcde");
}

#[test]
fn a_wrong_digest_is_never_visible() {
    let temp = temp();
    let landing = landing(temp.path());
    let sum =
        crate::plain::unhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    let digests = vec![Digest::new("sha-256", &sum).unwrap()];
    for (bytes, is_right) in [(b"abd", false), (b"abc", true)] {
        let resumable = ResumableTerms { digests: digests.clone(), ..ResumableTerms::default() };
        let mut upload = landing.create(b"a", Terms::default(), resumable).unwrap();
        append(&mut upload, bytes);
        let id = upload.id();
        drop(upload);
        let mut upload = open(&landing, id);
        let completed = upload.complete(None);
        assert_eq!(completed.is_ok(), is_right, "{completed:?}");
        assert_eq!(temp.path().join("a").exists(), is_right);
    }
}

#[test]
fn conditions_hold_when_it_is_complete() {
    let temp = temp();
    let landing = landing(temp.path());
    let absent = Terms { only_if_absent: true, ..Terms::default() };
    let mut upload = create(&landing, "a", absent.clone());
    append(&mut upload, b"late");
    let id = upload.id();
    drop(upload);
    put(&landing, "a", b"early");
    let mut upload = open(&landing, id);
    assert!(matches!(upload.complete(None), Err(ArrivalError::PreconditionFailed)));
    assert_eq!(upload.offset(), 4, "it can still be cancelled, or wait for the other to go");
    let refused = landing.create(b"a", absent, ResumableTerms::default());
    assert!(matches!(refused, Err(ArrivalError::PreconditionFailed)));

    let is_early = || Condition::new(|now| now.is_some_and(|now| now.len == 5));
    let terms = Terms { only_if: Some(is_early()), ..Terms::default() };
    let (mut first, mut second) =
        (create(&landing, "a", terms.clone()), create(&landing, "a", terms));
    append(&mut first, b"first!");
    append(&mut second, b"second");
    assert!(!first.complete(None).unwrap().created);
    let lost = second.complete(Some(is_early()));
    assert!(matches!(lost, Err(ArrivalError::PreconditionFailed)), "{lost:?}");
    assert_eq!(fs::read(temp.path().join("a")).unwrap(), b"first!");
}

#[test]
fn a_damaged_record_is_no_upload_any_more() {
    let temp = temp();
    let landing = landing(temp.path());
    let mut upload = create(&landing, "a", Terms::default());
    append(&mut upload, b"abc");
    let id = upload.id();
    drop(upload);
    let record = temp.path().join(format!(".uploads/{id}.about"));
    let whole = fs::read(&record).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&record, damaged).unwrap();
        assert!(matches!(landing.resume(id, None), Err(ArrivalError::NotFound)), "byte {at}");
        fs::write(&record, &whole[..at]).unwrap();
        assert!(matches!(landing.resume(id, None), Err(ArrivalError::NotFound)), "cut at {at}");
    }
    assert_eq!(landing.sweep().unwrap().removed, 0, "it is kept for as long as others");
    fs::write(&record, whole).unwrap();
    assert_eq!(open(&landing, id).offset(), 3);
}
