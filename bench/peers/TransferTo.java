// The sender of the exchange case in Java: one file by FileChannel.transferTo, and nothing else.

import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.channels.FileChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

public final class TransferTo {
    public static void main(String[] arguments) throws IOException {
        InetSocketAddress address = new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0]));
        try (FileChannel file = FileChannel.open(Path.of(arguments[1]), StandardOpenOption.READ);
                SocketChannel socket = SocketChannel.open(address)) {
            long size = file.size();
            for (long at = 0; at < size; ) {
                at += file.transferTo(at, size - at, socket);
            }
        }
    }
}
