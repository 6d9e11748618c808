// The sender in Java: the article's two programs and a third by mapping, in one process that is told by lines.

import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

public final class ClassicSender {
    /** A way of sending, by the name that is shown. */
    static final class Way {
        final String name;
        final Connector connector;

        Way(String name, Connector connector) {
            this.name = name;
            this.connector = connector;
        }
    }

    interface Connector {
        Connection connect(InetSocketAddress address) throws Exception;
    }

    /** Connected, and waiting for the word: connecting is in no figure. */
    interface Connection extends AutoCloseable {
        int port() throws Exception;

        /** Sends all of a file. Everything but the opening lies between the meter's begin and end. */
        void send(Path file, long length, Meter meter) throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        List<Way> ways = List.of(
                new Way("Java read+write 4 KiB", ReadWrite::new),
                new Way("Java transferTo", TransferTo::new),
                new Way("Java MappedByteBuffer", Mapped::new));
        serve(ways, List.of());
    }

    /**
     * Says what it can, then sends: a task (the number of the way, bytes, port, file), its port, the word,
     * the times; until it is told another word, or nothing more.
     */
    static void serve(List<Way> ways, List<String> absent) throws Exception {
        PrintStream answers = new PrintStream(System.out, true, "UTF-8");
        BufferedReader orders =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        List<String> names = new ArrayList<>();
        for (Way way : ways) {
            names.add(way.name);
        }
        String version =
                System.getProperty("java.vm.name") + " " + System.getProperty("java.runtime.version");
        answers.println("{\"version\":" + quote(version) + ",\"ways\":" + quote(names)
                + ",\"absent\":" + quote(absent) + ",\"precise\":" + Meter.PRECISE + "}");
        for (String line; (line = orders.readLine()) != null; ) {
            String[] task = line.split(" ", 4);
            if (task.length < 4) {
                break;
            }
            Meter meter = new Meter();
            String answer;
            InetSocketAddress address =
                    new InetSocketAddress("127.0.0.1", Integer.parseInt(task[2]));
            Connector connector = ways.get(Integer.parseInt(task[0])).connector;
            try (Connection connection = connector.connect(address)) {
                answers.println("{\"port\":" + connection.port() + "}");
                if (!"go".equals(orders.readLine())) {
                    break;
                }
                connection.send(Path.of(task[3]), Long.parseLong(task[1]), meter);
                answer = "{\"wall\":" + meter.wall + ",\"cpu\":" + meter.cpu + "}";
            } catch (Exception problem) {
                answer = "{\"error\":" + quote(problem.toString()) + "}";
            }
            answers.println(answer);
        }
        System.exit(0); // threads of libraries are not waited for
    }

    /** The article's traditional program. */
    private static final class ReadWrite implements Connection {
        private final Socket socket;

        ReadWrite(InetSocketAddress address) throws IOException {
            socket = new Socket(address.getAddress(), address.getPort());
        }

        @Override
        public int port() {
            return socket.getLocalPort();
        }

        @Override
        public void send(Path file, long length, Meter meter) throws IOException {
            byte[] buffer = new byte[4096];
            try (InputStream input = new FileInputStream(file.toString())) {
                OutputStream output = socket.getOutputStream();
                meter.begin();
                long left = length;
                while (left > 0) {
                    int count = input.read(buffer, 0, (int) Math.min(buffer.length, left));
                    if (count < 0) {
                        throw new IOException("the file is shorter than it was");
                    }
                    output.write(buffer, 0, count);
                    left -= count;
                }
                meter.end();
            }
        }

        @Override
        public void close() throws IOException {
            socket.close();
        }
    }

    /** By channels. The socket blocks, as in the article. */
    private abstract static class ByChannels implements Connection {
        private final SocketChannel socket;

        ByChannels(InetSocketAddress address) throws IOException {
            socket = SocketChannel.open(address);
        }

        abstract void transfer(FileChannel file, long length, SocketChannel socket)
                throws IOException;

        @Override
        public int port() throws IOException {
            return ((InetSocketAddress) socket.getLocalAddress()).getPort();
        }

        @Override
        public void send(Path path, long length, Meter meter) throws IOException {
            try (FileChannel file = FileChannel.open(path, StandardOpenOption.READ)) {
                meter.begin();
                transfer(file, length, socket);
                meter.end();
            }
        }

        @Override
        public void close() throws IOException {
            socket.close();
        }
    }

    /** The article's program with zero copy: sendfile(2). */
    private static final class TransferTo extends ByChannels {
        TransferTo(InetSocketAddress address) throws IOException {
            super(address);
        }

        @Override
        void transfer(FileChannel file, long length, SocketChannel socket) throws IOException {
            long at = 0;
            while (at < length) {
                long count = file.transferTo(at, length - at, socket);
                if (count <= 0) {
                    throw new IOException("the file is shorter than it was");
                }
                at += count;
            }
        }
    }

    /** mmap(2) and write(2). What is mapped is given back by the garbage collector, some time later. */
    private static final class Mapped extends ByChannels {
        /** A buffer counts its bytes by int. */
        private static final long MOST = 1 << 30;

        Mapped(InetSocketAddress address) throws IOException {
            super(address);
        }

        @Override
        void transfer(FileChannel file, long length, SocketChannel socket) throws IOException {
            for (long at = 0; at < length; at += MOST) {
                long count = Math.min(MOST, length - at);
                ByteBuffer mapped = file.map(FileChannel.MapMode.READ_ONLY, at, count);
                while (mapped.hasRemaining()) {
                    socket.write(mapped);
                }
            }
        }
    }

    /**
     * Time, and the processor time of all threads: those of the compiler and of the collector are Java's
     * price as well. The process's own clock cannot be read from Java: OperatingSystemMXBean counts in steps
     * of 10 ms (times(2)). So it is the exact time of the thread that sends, and what the scheduler says of
     * each other thread.
     */
    static final class Meter {
        private static final Path TASKS = Path.of("/proc/self/task");
        private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();
        /** Kernels without CONFIG_SCHED_INFO do not say it, or say 0. */
        static final boolean PRECISE = sum(tasks()) > 0;

        private Map<String, Long> before;
        /** In nanoseconds. */
        long wall;
        /** In nanoseconds. */
        long cpu;

        /** Both are called by the thread that sends. */
        void begin() {
            before = PRECISE ? others() : Map.of();
            cpu = own();
            wall = System.nanoTime();
        }

        void end() {
            wall = System.nanoTime() - wall;
            cpu = own() - cpu;
            if (PRECISE) {
                for (Map.Entry<String, Long> task : others().entrySet()) {
                    cpu += task.getValue() - before.getOrDefault(task.getKey(), 0L);
                }
            }
        }

        private static long own() {
            if (PRECISE) {
                return THREADS.getCurrentThreadCpuTime();
            }
            return ((com.sun.management.OperatingSystemMXBean)
                            ManagementFactory.getOperatingSystemMXBean())
                    .getProcessCpuTime();
        }

        private static Map<String, Long> others() {
            Map<String, Long> all = tasks();
            try {
                Path own = Files.readSymbolicLink(Path.of("/proc/thread-self"));
                all.remove(own.getFileName().toString());
            } catch (IOException problem) {
                throw new IllegalStateException("which thread is this?", problem);
            }
            return all;
        }

        private static long sum(Map<String, Long> tasks) {
            long sum = 0;
            for (long time : tasks.values()) {
                sum += time;
            }
            return sum;
        }

        /** Nanoseconds on a processor, by thread. */
        private static Map<String, Long> tasks() {
            Map<String, Long> all = new HashMap<>();
            try (DirectoryStream<Path> tasks = Files.newDirectoryStream(TASKS)) {
                for (Path task : tasks) {
                    try {
                        String[] fields = Files.readString(task.resolve("schedstat")).split(" ");
                        all.put(task.getFileName().toString(), Long.parseLong(fields[0]));
                    } catch (IOException ended) {
                        // A thread that has ended since. What it did last is in no figure.
                    }
                }
            } catch (IOException problem) {
                return all;
            }
            return all;
        }
    }

    private static String quote(List<String> texts) {
        List<String> quoted = new ArrayList<>();
        for (String text : texts) {
            quoted.add(quote(text));
        }
        return "[" + String.join(",", quoted) + "]";
    }

    private static String quote(String text) {
        StringBuilder out = new StringBuilder("\"");
        for (char each : text.toCharArray()) {
            if (each < ' ' || each == '"' || each == '\\') {
                out.append(String.format("\\u%04x", (int) each));
            } else {
                out.append(each);
            }
        }
        return out.append('"').toString();
    }
}
