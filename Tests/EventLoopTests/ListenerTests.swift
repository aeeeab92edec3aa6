import EventLoop
import Foundation
import Testing

@Suite struct ListenerTests {
    @Test func acceptsAndCloses() throws {
        let loop = try EventLoop()
        let door = Door()
        let listener = try Listener(Socket.listen(.ipv4(.loopback, port: 0)), loop: loop, handler: door)
        #expect(listener.address.port != 0)
        var peers: [SocketAddress] = []
        door.onAccept = { _, peer, listener in
            peers.append(peer)
            if peers.count == 100 {
                // In the middle of a batch.
                listener.close()
                loop.handle.stop()
            }
        }
        var clients: [Int32] = []
        for _ in 0..<101 {
            if case .inProgress(let client) = try Socket.connectStart(listener.address) {
                clients.append(client.release())
            }
        }
        #expect(clients.count == 101)
        #expect(clients.allSatisfy { isReady($0, POLLOUT) })
        loop.runTest()
        #expect(peers == clients.prefix(100).map { Socket.localAddress($0) })
        #expect(listener.acceptedCount == 100)
        #expect(loop.registrationCount == 0)
        // The one in the queue of the closed socket was reset.
        #expect(isReady(clients[100], POLLIN))
        #expect(readAll(clients[100]).1 == .failed(ECONNRESET))
        clients.forEach { close($0) }
        listener.close()
    }

    /// In a process of its own: the limit of descriptors concerns all threads.
    @Test func lackOfDescriptorsResetsClientsAndDoesNotSpin() async {
        await #expect(processExitsWith: .success) {
            let loop = try EventLoop()
            let door = Door()
            let listener = try Listener(Socket.listen(.ipv4(.loopback, port: 0)), loop: loop, handler: door)
            let pair = try Pair()
            let probe = Probe()
            let registration = try loop.register(pair.near, .readable, probe)
            // The clients are made first, then all descriptors that are left are used up.
            var clients: [Int32] = []
            for _ in 0..<3 {
                if case .inProgress(let client) = try Socket.connectStart(listener.address) {
                    clients.append(client.release())
                }
            }
            var limit = rlimit(rlim_cur: 128, rlim_max: 128)
            #expect(setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
            var fillers: [Int32] = []
            while true {
                let filler = dup(pair.far)
                if filler < 0 { break }
                fillers.append(filler)
            }
            var failures: [SystemError] = []
            door.onFailure = { error, listener in
                failures.append(error)
                if failures.count == 3 {
                    // Room again: the next client is served.
                    fillers.forEach { close($0) }
                    if case .inProgress(let client)? = try? Socket.connectStart(listener.address) {
                        clients.append(client.release())
                    }
                }
            }
            door.onAccept = { _, _, _ in loop.handle.stop() }
            loop.runTest()
            guard failures.map(\.errno) == [EMFILE, EMFILE, EMFILE], listener.shedCount == 3,
                listener.acceptedCount == 1, clients.count == 4
            else { exit(3) }
            for client in clients.prefix(3) {
                guard isReady(client, POLLIN), readAll(client).1 == .failed(ECONNRESET) else { exit(4) }
            }
            guard readAll(clients[3]).1 == .wouldBlock else { exit(5) }
            loop.deregister(registration)
            listener.close()
        }
    }
}

@Suite struct SignalTests {
    private final class Receiver: SignalHandler {
        var signals: [Int32] = []

        func signalReceived(_ signal: Int32, loop: EventLoop) {
            signals.append(signal)
            if signals.count == 2 { loop.handle.stop() }
        }
    }

    @Test func signalsAreEvents() async {
        await #expect(processExitsWith: .success) {
            try SignalTests.deliverSignals()
        }
    }

    @Test func writingToAClosedPipeIsAnError() async {
        await #expect(processExitsWith: .success) {
            SignalSource.ignoreBrokenPipes()
            let pair = try Pair()
            pair.closeFar()
            let result = [UInt8(1)].withUnsafeBytes { Syscall.write(pair.near, $0) }
            if result != .failed(EPIPE) { exit(3) }
        }
    }

    /// Blocks, sends and receives on one thread, whose own signals nobody else can take.
    private static func deliverSignals() throws {
        SignalSource.blockInAllThreads([SIGUSR1, SIGTERM])
        let loop = try EventLoop()
        let receiver = Receiver()
        let source = try SignalSource([SIGUSR1, SIGTERM], loop: loop, handler: receiver)
        pthread_kill(pthread_self(), SIGUSR1)
        pthread_kill(pthread_self(), SIGTERM)
        loop.runTest()
        if Set(receiver.signals) != [SIGUSR1, SIGTERM] { exit(3) }
        source.close()
        if loop.registrationCount != 0 { exit(4) }
        SignalSource.unblock([SIGUSR1, SIGTERM])
    }
}
