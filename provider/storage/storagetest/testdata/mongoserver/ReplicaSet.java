import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import io.netty.channel.Channel;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * An in-memory MongoDB for tests that looks like a replica set of one node: it says that it is the primary, so that the driver
 * sends sessions and retryable writes, and a write that comes a second time gets its first answer again and is not
 * done twice, as on a real primary.
 *
 * It prints its port, and ends when its standard input does, so that it never outlives the tests that started it.
 */
public class ReplicaSet extends MemoryBackend {

    private static final int REMEMBERED = 10_000;

    private final Map<String, Document> answers = new LinkedHashMap<>() {
        @Override
        protected boolean removeEldestEntry(Map.Entry<String, Document> eldest) {
            return size() > REMEMBERED;
        }
    };

    private volatile String address;

    ReplicaSet() {
        version(new MongoVersion() {
            @Override
            public List<Integer> getVersionArray() {
                return List.of(6, 0, 0);
            }

            @Override
            public int getWireVersion() {
                return 17;
            }
        });
    }

    @Override
    public Document handleCommand(Channel channel, String database, String command, Document query) {
        if (isHello(command)) {
            return primary(super.handleCommand(channel, database, "isMaster", query));
        }
        return super.handleCommand(channel, database, command, query);
    }

    @Override
    public Document handleMessage(MongoMessage message) {
        Document command = message.getDocument();
        Object number = command.remove("txnNumber");
        // One at a time and with a copy: answers refer to the stored documents, and are sent while others change these.
        synchronized (answers) {
            if (number == null) {
                boolean hello = isHello(command.keySet().iterator().next());
                Document answer = super.handleMessage(message).cloneDeeply();
                return hello ? primary(answer) : answer;
            }
            String write = command.get("lsid") + " " + number;
            Document answer = answers.get(write);
            if (answer == null) {
                answer = super.handleMessage(message).cloneDeeply();
                answers.put(write, answer);
            }
            return answer;
        }
    }

    private static boolean isHello(String command) {
        return command.equalsIgnoreCase("isMaster") || command.equals("hello");
    }

    private Document primary(Document answer) {
        return answer.append("setName", "rs0")
            .append("setVersion", 1)
            .append("hosts", List.of(address))
            .append("me", address)
            .append("primary", address)
            .append("ismaster", true)
            .append("isWritablePrimary", true)
            .append("secondary", false)
            .append("logicalSessionTimeoutMinutes", 30);
    }

    public static void main(String[] args) throws Exception {
        ReplicaSet backend = new ReplicaSet();
        MongoServer server = new MongoServer(backend);
        server.bind("127.0.0.1", 0);
        int port = server.getLocalAddress().getPort();
        backend.address = "127.0.0.1:" + port;
        System.out.println(port);
        System.in.readAllBytes();
        server.shutdownNow();
        System.exit(0);
    }
}
