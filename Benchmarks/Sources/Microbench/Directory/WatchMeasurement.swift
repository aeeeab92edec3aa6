import Directory
import Glibc

/// How long it takes from a registration until so many watchers have been told, each on a socket of its own.
enum WatchMeasurement {
    /// Registers a few times and prints the time until the last watcher's bytes are in its socket.
    static func run(watchers count: Int, nodes: Int) throws {
        let folder = DirectoryBench.folder()
        defer { DirectoryBench.remove(folder) }
        let directory = try DirectoryBench(folder: folder, nodes: nodes, servicesPerNode: 1)
        let watchers = try (0..<count).map { try Watcher(directory, number: $0) }
        let byID = Dictionary(uniqueKeysWithValues: watchers.map { ($0.id, $0) })
        var samples = Samples()
        var sync = Samples()
        for turn in 1...50 {
            let request = directory.request(node: turn % nodes, services: 1, turn: turn)
            let start = Clock.wall
            try directory.request(request)
            require(try directory.turn() == 1, "the registration was not answered")
            sync.add(Double(Clock.wall - start) / 1e6)
            for id in directory.service.watchersWithNews {
                guard case .lines(let bytes) = directory.service.nextLines(id) else { continue }
                byID[id]?.send(bytes)
            }
            samples.add(Double(Clock.wall - start) / 1e6)
            for watcher in watchers { require(watcher.receive() > 50, "a watcher was not told") }
        }
        Output.line(
            "watchers told: \(count) watchers, \(nodes) nodes: \(Output.number(samples.median, 2)) ms after the registration "
                + "[\(Output.number(samples.least, 2)) - \(Output.number(samples.most, 2))], of it "
                + "\(Output.number(sync.median, 2)) ms until it is on the disk")
    }

    /// One watcher with both ends of its socket.
    private final class Watcher {
        let id: WatchHub.WatcherID
        private var ends: (Int32, Int32) = (-1, -1)

        init(_ directory: DirectoryBench, number: Int) throws {
            let operation = DirectoryOperation.watch(from: directory.service.snapshot.revision, epoch: nil)
            let principal = directory.request(node: number, services: 1, turn: 0).principal
            guard case .watching(let id) = directory.service.perform(operation, by: principal) else {
                Output.fail("watcher \(number) was refused")
            }
            self.id = id
            var pair: [Int32] = [-1, -1]
            guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0 else {
                Output.fail("no socket for watcher \(number): raise the limit of open files (ulimit -n)")
            }
            ends = (pair[0], pair[1])
        }

        deinit {
            close(ends.0)
            close(ends.1)
        }

        func send(_ bytes: [UInt8]) {
            let sent = bytes.withUnsafeBytes { write(ends.0, $0.baseAddress, $0.count) }
            require(sent == bytes.count, "\(sent) of \(bytes.count) bytes were taken")
        }

        /// Number of bytes that are there.
        func receive() -> Int {
            var buffer = [UInt8](repeating: 0, count: 4_096)
            return recv(ends.1, &buffer, buffer.count, Int32(MSG_DONTWAIT))
        }
    }
}
