//! The same in Java, where there is one: its programs are compiled into a temporary folder and run, one
//! long-lived process each, told by lines as the lab's own subject is.

use crate::{receiver::Receiver, subject::Subject};
use serde::Deserialize;
use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
};
use tempfile::TempDir;

const CLASSIC: (&str, &str) = ("ClassicSender", include_str!("../java/ClassicSender.java"));
const NETTY: (&str, &str) = ("NettySender", include_str!("../java/NettySender.java"));

/// Where distributions put Netty: Debian, and Fedora.
const FOLDERS: [&str; 2] = ["/usr/share/java", "/usr/share/java/netty"];

/// What the program needs of it. The last two are for epoll: their classes have to be there, their native
/// library need not.
const JARS: [&str; 6] = [
    "netty-common",
    "netty-buffer",
    "netty-resolver",
    "netty-transport",
    "netty-transport-native-unix-common",
    "netty-transport-native-epoll",
];

/// Processes with Java in them. They end when this is dropped.
#[derive(Debug)]
pub struct Java {
    programs: Vec<Subject>,
    ways: Vec<Way>,
    version: String,
    precise: bool,
    absent: Vec<String>,
    classes: TempDir,
}

#[derive(Debug)]
struct Way {
    name: String,
    /// Which of the programs, and which of its ways.
    at: (usize, usize),
}

/// What a program says first.
#[derive(Debug, Deserialize)]
struct Hello {
    version: String,
    ways: Vec<String>,
    absent: Vec<String>,
    /// Whether it can tell processor time closer than by 10 ms.
    precise: bool,
}

/// What it says when it is connected, and when it has sent. One of it is there.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    port: Option<u16>,
    wall: Option<u64>,
    cpu: Option<u64>,
    error: Option<String>,
}

/// What a transfer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Took {
    /// From before the first byte to when the kernel had the last, in nanoseconds.
    pub wall: u64,
    /// Processor time of all threads of the process, in nanoseconds.
    pub cpu: u64,
}

impl Java {
    /// Compiles and starts what can be. `scratch` is the folder of the files that are to be sent.
    ///
    /// # Errors
    ///
    /// Why there is no Java here, in words.
    pub fn start(scratch: &Path) -> Result<Self, String> {
        let classes = tempfile::Builder::new().prefix("sendrail-lab-java-").tempdir();
        let classes = classes.map_err(|error| format!("no temporary folder: {error}"))?;
        let (subject, hello) = start(CLASSIC, &classes, &[], scratch)?;
        let mut java = Self {
            programs: Vec::new(),
            ways: Vec::new(),
            version: hello.version.clone(),
            precise: hello.precise,
            absent: Vec::new(),
            classes,
        };
        java.add(subject, hello);
        let netty = jars(&FOLDERS.map(Path::new))
            .and_then(|jars| start(NETTY, &java.classes, &jars, scratch));
        match netty {
            Ok((subject, hello)) => java.add(subject, hello),
            Err(why) => java.absent.push(format!("Netty: {why}")),
        }
        Ok(java)
    }

    fn add(&mut self, subject: Subject, hello: Hello) {
        let program = self.programs.len();
        self.programs.push(subject);
        let ways = hello.ways.into_iter().enumerate();
        self.ways.extend(ways.map(|(at, name)| Way { name, at: (program, at) }));
        self.absent.extend(hello.absent);
    }

    /// The virtual machine, and its version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether processor time is told closer than by 10 ms.
    pub fn is_precise(&self) -> bool {
        self.precise
    }

    /// What cannot be measured here, and why.
    pub fn absent(&self) -> &[String] {
        &self.absent
    }

    /// What can be, by the names that are shown. The first is the article's read+write.
    pub fn ways(&self) -> impl ExactSizeIterator<Item = &str> {
        self.ways.iter().map(|way| way.name.as_str())
    }

    /// Does without a way from now on, and says why.
    pub fn give_up(&mut self, way: usize, why: &io::Error) {
        let way = self.ways.remove(way);
        self.absent.push(format!("{}: {why}", way.name));
    }

    /// Has one of the ways send `len` bytes of a file that is in the scratch folder, and takes them over
    /// loopback. With `checks`, holds them against that file.
    ///
    /// # Errors
    ///
    /// Something broke, or other bytes came than were sent.
    pub fn send(
        &mut self,
        way: usize,
        (file, len): (&Path, u64),
        checks: Option<&File>,
    ) -> io::Result<Took> {
        let Way { name, at: (program, at) } = &self.ways[way];
        let program = &mut self.programs[*program];
        // By its name alone, in its folder: Java reads other names by the locale, and may not find them.
        let file = file.file_name().and_then(|name| name.to_str());
        let file = file.ok_or_else(|| io::Error::other("a file without a name"))?;
        let receiver = Receiver::listen(Ipv4Addr::LOCALHOST.into())?;
        let address = receiver.address();
        let task = format!("{at} {len} {} {file}", address.port());
        let (sent, count) = thread::scope(|scope| {
            let receiving = scope.spawn(|| receiver.receive(checks));
            let sent = told(program, &task);
            if sent.is_err() {
                // It may never have connected. The receiver is not to wait for it.
                let _ = TcpStream::connect(address);
            }
            (sent, receiving.join().unwrap_or_else(|_| Err(io::Error::other("a bug"))))
        });
        let (took, count) = (sent?, count?);
        if count != len {
            return Err(io::Error::other(format!("{count} bytes came of {len}, by {name}")));
        }
        Ok(took)
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        for program in &mut self.programs {
            // Any other word. By itself it takes with it what it has laid down in the temporary folder.
            if program.say("enough").is_ok() {
                let _ = program.hear::<Answer>();
            }
        }
    }
}

/// Task, ready, the word, the times.
fn told(program: &mut Subject, task: &str) -> io::Result<Took> {
    program.say(task)?;
    let ready: Answer = program.hear()?;
    if let (None, error) = (ready.port, ready.error) {
        return Err(io::Error::other(error.unwrap_or_else(|| "it did not connect".to_owned())));
    }
    program.say("go")?;
    match program.hear()? {
        Answer { wall: Some(wall), cpu: Some(cpu), .. } => Ok(Took { wall, cpu }),
        Answer { error, .. } => {
            Err(io::Error::other(error.unwrap_or_else(|| "it did not say its times".to_owned())))
        }
    }
}

/// Compiles a program, and starts it.
fn start(
    (name, source): (&str, &str),
    classes: &TempDir,
    jars: &[PathBuf],
    scratch: &Path,
) -> Result<(Subject, Hello), String> {
    // The program runs in another folder than this one.
    let classes = std::path::absolute(classes.path()).map_err(|error| error.to_string())?;
    let file = classes.join(name).with_extension("java");
    fs::write(&file, source).map_err(|error| format!("{}: {error}", file.display()))?;
    let path = class_path(&classes, jars);
    // The compiler by its module: it is where `javac` is, and in some runtimes without `javac` too.
    let mut compiler = Command::new("java");
    compiler.args(["-m", "jdk.compiler/com.sun.tools.javac.Main", "-proc:none", "-d"]);
    compiler.arg(&classes).arg("-cp").arg(&path).arg(&file);
    let output = compiler.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "not installed (there is no java in PATH)".to_owned(),
        _ => format!("java: {error}"),
    })?;
    if !output.status.success() {
        let said = [output.stderr, output.stdout].map(|said| first_line(&said));
        let said = said.into_iter().find(|line| !line.is_empty()).unwrap_or_default();
        return Err(format!(
            "{name} could not be compiled, which takes Java 11 with its compiler: {said}"
        ));
    }
    let mut command = Command::new("java");
    command.arg("-cp").arg(&path).arg(name).current_dir(scratch);
    let mut subject = Subject::start_as(command).map_err(|error| format!("java: {error}"))?;
    let hello = subject.hear().map_err(|error| format!("{name} did not start: {error}"))?;
    Ok((subject, hello))
}

fn class_path(classes: &Path, jars: &[PathBuf]) -> OsString {
    let mut path = classes.as_os_str().to_owned();
    for jar in jars {
        path.push(":");
        path.push(jar);
    }
    path
}

fn first_line(said: &[u8]) -> String {
    String::from_utf8_lossy(said).lines().next().unwrap_or_default().trim().to_owned()
}

/// Netty's, of one folder that has all of them.
fn jars(folders: &[&Path]) -> Result<Vec<PathBuf>, String> {
    let of = |folder: &&Path| JARS.map(|name| folder.join(format!("{name}.jar"))).to_vec();
    let mut all = folders.iter().map(of);
    all.find(|jars| jars.iter().all(|jar| jar.exists())).ok_or_else(|| {
        let folders: Vec<String> =
            folders.iter().map(|folder| folder.display().to_string()).collect();
        format!("not installed (no {}.jar and its others in {})", JARS[3], folders.join(" or "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn what_java_says_is_understood() {
        let hello: Hello = serde_json::from_str(
            r#"{"version":"a VM 17","ways":["one","\u0022two\u0022"],"absent":["three: \u005c"],"precise":true}"#,
        )
        .unwrap();
        assert_eq!((hello.version.as_str(), hello.precise), ("a VM 17", true));
        assert_eq!((hello.ways[1].as_str(), hello.absent[0].as_str()), ("\"two\"", "three: \\"));
        let answer: Answer = serde_json::from_str(r#"{"wall":5,"cpu":4}"#).unwrap();
        assert_eq!((answer.wall, answer.cpu, answer.port), (Some(5), Some(4), None));
    }

    #[test]
    fn netty_is_found_where_all_of_it_is() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folders = [one.path(), other.path()];
        for (number, name) in JARS.iter().enumerate() {
            File::create(other.path().join(format!("{name}.jar"))).unwrap();
            if number == 3 {
                File::create(one.path().join(format!("{name}.jar"))).unwrap();
                let why = jars(&folders).unwrap_err();
                assert!(why.contains("netty-transport.jar"), "{why}");
            }
        }
        let found = jars(&folders).unwrap();
        assert!(found.len() == 6 && found.iter().all(|jar| jar.starts_with(other.path())));
        let path = class_path(Path::new("/c"), &found[..1]);
        assert_eq!(
            path.to_str().unwrap(),
            format!("/c:{}/netty-common.jar", other.path().display())
        );
    }

    /// A program in its place, that says what it likes. It sends nothing, so no receiver may wait for it.
    #[test]
    fn a_program_that_fails_holds_nobody_up() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            Java {
                programs: vec![Subject::start_as(command).unwrap()],
                ways: vec![Way { name: "a way".to_owned(), at: (0, 0) }],
                version: String::new(),
                precise: true,
                absent: Vec::new(),
                classes: tempfile::tempdir().unwrap(),
            }
        };
        for (script, said) in [
            ("exit", "has ended"),
            (r#"read task; echo '{"error":"no such host"}'"#, "no such host"),
            ("read task; echo '{}'", "did not connect"),
            (r#"read task; echo '{"port":1}'; read go; echo '{"error":"torn"}'"#, "torn"),
            (r#"read task; echo '{"port":1}'; read go; echo '{"wall":1}'"#, "did not say"),
            (r#"read task; echo '{"port":1}'; exit"#, "has ended"),
        ] {
            let error = shell(script).send(0, (Path::new("/a/file"), 1), None).unwrap_err();
            let error = error.to_string();
            assert!(error.contains(said) || error.contains("Broken pipe"), "{script}: {error}");
        }
        let mut java = shell("exit");
        java.give_up(0, &io::Error::other("tired"));
        assert_eq!((java.ways().len(), java.absent()), (0, &["a way: tired".to_owned()][..]));
    }

    #[test]
    fn java_sends_the_bytes_of_the_file() {
        let scratch = tempfile::tempdir().unwrap();
        let mut java = match Java::start(scratch.path()) {
            Ok(java) => java,
            Err(why) => return eprintln!("skipped: Java: {why}"),
        };
        let mut file = tempfile::NamedTempFile::new_in(scratch.path()).unwrap();
        let bytes: Vec<u8> =
            (0..100_001_u32).map(|at| (at.wrapping_mul(40_503) >> 7) as u8).collect();
        file.write_all(&bytes).unwrap();
        let ways: Vec<String> = java.ways().map(str::to_owned).collect();
        assert_eq!(
            ways[..3],
            ["Java read+write 4 KiB", "Java transferTo", "Java MappedByteBuffer"]
        );
        let task = (file.path(), bytes.len() as u64);
        for (way, name) in ways.iter().enumerate() {
            let took = java.send(way, task, Some(file.as_file())).unwrap();
            assert!(took.wall > 0, "{name}: {took:?}");
            // And others are not taken for them.
            let other = tempfile::tempfile().unwrap();
            other.set_len(bytes.len() as u64).unwrap();
            assert!(java.send(way, task, Some(&other)).is_err(), "{name}");
            assert!(java.send(way, task, Some(file.as_file())).is_ok(), "{name}");
        }
        // A file that is shorter than it was is an error, and not the end.
        let longer = (file.path(), bytes.len() as u64 + 1);
        assert!(java.send(0, longer, None).unwrap_err().to_string().contains("shorter"));
        assert!(java.send(1, longer, None).unwrap_err().to_string().contains("shorter"));
        assert!(java.send(0, task, None).is_ok());
        for why in java.absent() {
            eprintln!("skipped: {why}");
        }
    }
}
