// The sender by Netty: a DefaultFileRegion, over its NIO transport and, where its native library is, over epoll.

import io.netty.bootstrap.Bootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.DefaultFileRegion;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.epoll.Epoll;
import io.netty.channel.epoll.EpollEventLoopGroup;
import io.netty.channel.epoll.EpollSocketChannel;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.nio.NioSocketChannel;
import java.net.InetSocketAddress;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

public final class NettySender {
    public static void main(String[] arguments) throws Exception {
        // It makes names for channels of the hardware's address, and complains where there is loopback alone.
        System.setProperty("io.netty.machineId", "02:00:00:00:00:00");
        List<ClassicSender.Way> ways = new ArrayList<>();
        List<String> absent = new ArrayList<>();
        EventLoopGroup nio = new NioEventLoopGroup(1);
        ways.add(new ClassicSender.Way("Netty FileRegion, NIO",
                address -> new ByNetty(nio, NioSocketChannel.class, address)));
        if (Epoll.isAvailable()) {
            EventLoopGroup epoll = new EpollEventLoopGroup(1);
            ways.add(new ClassicSender.Way("Netty FileRegion, epoll",
                    address -> new ByNetty(epoll, EpollSocketChannel.class, address)));
        } else {
            Throwable cause = innermost(Epoll.unavailabilityCause());
            absent.add("Netty FileRegion, epoll: its native library cannot be loaded ("
                    + cause.getClass().getSimpleName() + ": " + cause.getMessage() + ")");
        }
        ClassicSender.serve(ways, absent);
    }

    private static final class ByNetty implements ClassicSender.Connection {
        private final Channel channel;

        ByNetty(EventLoopGroup group, Class<? extends Channel> kind, InetSocketAddress address)
                throws InterruptedException {
            Bootstrap bootstrap = new Bootstrap().group(group).channel(kind);
            bootstrap.handler(new ChannelInboundHandlerAdapter());
            channel = bootstrap.connect(address).sync().channel();
        }

        @Override
        public int port() {
            return ((InetSocketAddress) channel.localAddress()).getPort();
        }

        @Override
        public void send(Path path, long length, ClassicSender.Meter meter) throws Exception {
            // Closed by the region when it has been sent.
            FileChannel file = FileChannel.open(path, StandardOpenOption.READ);
            DefaultFileRegion region = new DefaultFileRegion(file, 0, length);
            CompletableFuture<Void> sent = new CompletableFuture<>();
            // The thread of the event loop is the one that sends, and so the one that measures.
            channel.eventLoop().execute(() -> {
                meter.begin();
                channel.writeAndFlush(region).addListener(result -> {
                    meter.end();
                    if (result.isSuccess()) {
                        sent.complete(null);
                    } else {
                        sent.completeExceptionally(result.cause());
                    }
                });
            });
            sent.get();
        }

        @Override
        public void close() throws InterruptedException {
            channel.close().sync();
        }
    }

    private static Throwable innermost(Throwable problem) {
        Throwable cause = problem;
        while (cause.getCause() != null) {
            cause = cause.getCause();
        }
        return cause;
    }
}
