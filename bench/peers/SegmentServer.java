// The peer of the segment log in Java: answers the same fetches from the same files, as a broker in Java would. One thread,
// one selector, next to nothing allocated for a fetch; segments and their sparse index are known before the first connection.
//
//   java SegmentServer METHOD PORT DIRECTORY INDEX_INTERVAL
//
// METHOD says how records leave: `transfer` by FileChannel.transferTo (sendfile(2)) behind a head written before, as Kafka
// does it; `mapped` head and records in one gathering write from mapped segments; `copy` records read behind the head, and
// both in one write. Java has neither MSG_MORE nor TCP_CORK. `mapped` and `copy` do so up to SMALL bytes, and the rest by
// transferTo, which costs less there.

import java.io.EOFException;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

public final class SegmentServer {
    enum Method { TRANSFER, MAPPED, COPY }

    static final int FETCH = 17; // u8 kind, u64 offset, u32 max_bytes, u32 max_wait_ms
    static final int HEAD = 29; // u32 length, u8 status, u64 first, u64 next, u64 end
    static final int RECORD = 16; // u32 length, u32 checksum, u64 offset
    static final int SMALL = 64 << 10;

    /** A file of records, and the place of one record in every so many bytes. */
    static final class Segment {
        final FileChannel file;
        final MappedByteBuffer map; // null unless it is sent from
        long[] offsets = new long[1024];
        int[] positions = new int[1024];
        int entries;
        long next; // the offset after its last record
        int length; // in bytes: up to there its records are whole

        Segment(Path path, boolean mapped, int interval) throws IOException {
            file = FileChannel.open(path, StandardOpenOption.READ);
            map = mapped && file.size() > 0 ? file.map(FileChannel.MapMode.READ_ONLY, 0, file.size()).load() : null;
            String name = path.getFileName().toString();
            next = Long.parseLong(name.substring(0, name.length() - ".log".length()));
            scan(interval);
        }

        private void scan(int interval) throws IOException {
            ByteBuffer window = ByteBuffer.allocateDirect(1 << 20).flip();
            long size = file.size(), read = 0;
            int since = interval; // the first record has an entry
            for (long at = 0; at + RECORD <= size; ) {
                while (at + RECORD > read) { // what lies between is skipped, not read
                    window.clear();
                    read = at + Math.max(0, file.read(window, at));
                    window.flip();
                }
                int begin = (int) (at - (read - window.limit()));
                int bytes = RECORD + window.getInt(begin);
                if (at + bytes > size) {
                    break;
                }
                long offset = window.getLong(begin + 8);
                if (since >= interval) {
                    if (entries == offsets.length) {
                        offsets = Arrays.copyOf(offsets, entries * 2);
                        positions = Arrays.copyOf(positions, entries * 2);
                    }
                    offsets[entries] = offset;
                    positions[entries++] = (int) at;
                    since = 0;
                }
                since += bytes;
                at += bytes;
                length = (int) at;
                next = offset + 1;
            }
        }

        /** The last entry at or below an offset. */
        int entry(long offset) {
            int found = Arrays.binarySearch(offsets, 0, entries, offset);
            return found >= 0 ? found : -found - 2;
        }
    }

    /** One consumer: what it has said of its next fetch, and what it is still to get. */
    static final class Connection {
        final SocketChannel channel;
        final ByteBuffer request = ByteBuffer.allocateDirect(4 + FETCH);
        FileChannel file;
        long position;
        long left;

        Connection(SocketChannel channel) {
            this.channel = channel;
        }
    }

    private final Method method;
    private final Segment[] segments;
    private final long[] bases;
    private final Selector selector = Selector.open();
    private final ServerSocketChannel listener = ServerSocketChannel.open();
    private final ByteBuffer answer = ByteBuffer.allocateDirect(HEAD + SMALL);
    private final ByteBuffer[] gathered = new ByteBuffer[2];

    private SegmentServer(Method method, int port, Path directory, int interval) throws IOException {
        this.method = method;
        List<Path> paths = new ArrayList<>();
        try (DirectoryStream<Path> found = Files.newDirectoryStream(directory, "*.log")) {
            found.forEach(paths::add);
        }
        paths.sort(null);
        List<Segment> read = new ArrayList<>();
        for (Path path : paths) {
            Segment segment = new Segment(path, method == Method.MAPPED, interval);
            if (segment.entries > 0) {
                read.add(segment);
            }
        }
        segments = read.toArray(new Segment[0]);
        bases = read.stream().mapToLong(segment -> segment.offsets[0]).toArray();
        listener.bind(new InetSocketAddress("127.0.0.1", port), 1024).configureBlocking(false);
        listener.register(selector, SelectionKey.OP_ACCEPT);
    }

    private void serve() throws IOException {
        for (;;) {
            selector.select(this::ready);
        }
    }

    private void ready(SelectionKey key) {
        Connection connection = (Connection) key.attachment();
        try {
            if (connection == null) {
                accept();
            } else if (key.isWritable()) {
                if (transfer(connection)) {
                    key.interestOps(SelectionKey.OP_READ);
                }
            } else if (!answered(connection)) {
                key.interestOps(SelectionKey.OP_WRITE);
            }
        } catch (IOException gone) {
            key.cancel();
            try {
                connection.channel.close();
            } catch (IOException ignored) {
                // it is gone
            }
        }
    }

    private void accept() throws IOException {
        SocketChannel channel = listener.accept();
        if (channel != null) {
            channel.configureBlocking(false);
            channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
            channel.register(selector, SelectionKey.OP_READ, new Connection(channel));
        }
    }

    /** False when the socket is full. */
    private boolean answered(Connection connection) throws IOException {
        ByteBuffer request = connection.request;
        if (connection.channel.read(request) < 0) {
            throw new EOFException();
        }
        if (request.hasRemaining()) {
            return true;
        }
        if (request.getInt(0) != FETCH || request.get(4) != 1) {
            throw new IOException("no fetch");
        }
        long offset = request.getLong(5);
        int most = request.getInt(13);
        request.clear();

        int number = Arrays.binarySearch(bases, offset);
        Segment segment = segments[number >= 0 ? number : Math.max(0, -number - 2)];
        int from = Math.max(0, segment.entry(offset));
        int begin = segment.positions[from];
        // Up to the last entry within what was asked for, but one entry's records at the least.
        int to = Arrays.binarySearch(segment.positions, from, segment.entries, begin + most);
        to = Math.max(to >= 0 ? to : -to - 2, from + 1);
        boolean whole = to == segment.entries || segment.length - begin <= most;
        int count = (whole ? segment.length : segment.positions[to]) - begin;

        ByteBuffer head = answer.clear();
        head.putInt(HEAD - 4 + count).put((byte) 0).putLong(segment.offsets[from]);
        head.putLong(whole ? segment.next : segment.offsets[to]).putLong(segments[segments.length - 1].next);
        connection.file = segment.file;
        connection.position = begin;
        connection.left = count;
        long taken = -HEAD; // of the records
        if (method == Method.MAPPED && count <= SMALL) {
            gathered[0] = head.flip();
            gathered[1] = segment.map.slice(begin, count);
            taken += connection.channel.write(gathered);
        } else {
            if (method == Method.COPY && count <= SMALL) {
                segment.file.read(head.limit(HEAD + count), begin);
            }
            taken += connection.channel.write(head.flip());
        }
        if (taken < 0) {
            throw new IOException("a socket without room for a head"); // who asks again before the answer is there
        }
        connection.position += taken;
        connection.left -= taken;
        return transfer(connection);
    }

    /** False when the socket is full. */
    private static boolean transfer(Connection connection) throws IOException {
        while (connection.left > 0) {
            long sent = connection.file.transferTo(connection.position, connection.left, connection.channel);
            if (sent == 0) {
                return false;
            }
            connection.position += sent;
            connection.left -= sent;
        }
        return true;
    }

    public static void main(String[] arguments) throws IOException {
        Method method = Method.valueOf(arguments[0].toUpperCase());
        int port = Integer.parseInt(arguments[1]);
        new SegmentServer(method, port, Path.of(arguments[2]), Integer.parseInt(arguments[3])).serve();
    }
}
