import EventLoop
import Foundation
import Testing

@Suite struct ConnectorTests {
    /// A port on which nobody listens, held so that nobody else gets it.
    private final class Closed {
        let address: SocketAddress
        private let descriptor: Int32

        init() throws {
            descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var raw = sockaddr_in()
            raw.sin_family = sa_family_t(AF_INET)
            raw.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            let descriptor = descriptor
            let result = withUnsafePointer(to: &raw) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            #expect(result == 0)
            address = try #require(Socket.localAddress(descriptor))
        }

        deinit { close(descriptor) }
    }

    /// A listener whose queue is full, so that the kernel drops what else wants in.
    private final class Silent {
        let address: SocketAddress
        private var descriptors: [Int32] = []

        init(_ wanted: SocketAddress = .ipv4(.loopback, port: 0)) throws {
            let listener = try Socket.listen(wanted, backlog: 0)
            address = try #require(Socket.localAddress(listener.rawValue))
            descriptors.append(listener.release())
            for _ in 0..<8 {
                switch try Socket.connectStart(address) {
                case .connected(let socket): descriptors.append(socket.release())
                case .inProgress(let socket): descriptors.append(socket.release())
                case .queueFull: return
                }
            }
        }

        /// Accepts all that waits.
        func open() throws {
            while let (descriptor, _) = try Syscall.accept(descriptors[0]) { descriptors.append(descriptor) }
        }

        deinit { descriptors.forEach { close($0) } }
    }

    @Test(arguments: ["127.0.0.1:0", "[::1]:0"])
    func connects(text: String) throws {
        let loop = try EventLoop()
        let listener = try Socket.listen(SocketAddress(parsing: text))
        let address = try #require(Socket.localAddress(listener.rawValue))
        let outcome = Outcome()
        _ = Connector([address], loop: loop, handler: outcome)
        #expect(outcome.calls == 0)
        loop.runTest()
        #expect(outcome.address == address)
        #expect(outcome.calls == 1)
        #expect(try Syscall.accept(listener.rawValue).map { close($0.descriptor) } == 0)
        #expect(loop.registrationCount == 0)
        #expect(loop.timerCount == 0)
    }

    @Test func refusalIsNamed() throws {
        let loop = try EventLoop()
        let closed = try Closed()
        let address = closed.address
        let outcome = Outcome()
        _ = Connector([address], loop: loop, handler: outcome)
        loop.runTest()
        let error = try #require(outcome.error)
        #expect(error.code == .refused)
        #expect(error.attempts == [SystemError(call: "connect", subject: "\(address)", errno: ECONNREFUSED)])
        #expect(error.description.hasPrefix("connect \(address): Connection refused (ECONNREFUSED); "))
        #expect(loop.registrationCount == 0)
        #expect(loop.timerCount == 0)
    }

    @Test func nextAddressIsTried() throws {
        let loop = try EventLoop()
        let closed = try Closed()
        let silent = try Silent()
        let listener = try Socket.listen(.ipv4(.loopback, port: 0))
        let address = try #require(Socket.localAddress(listener.rawValue))
        let addresses = [closed.address, .unix(path: "/nonexistent/socket"), silent.address, address]
        // The silent one gets half of what is left, so that the last has its turn: unless the machine has let all of the
        // time pass, and gets more.
        var timeout = 100 * Clock.millisecond
        var outcome = Outcome()
        repeat {
            outcome = Outcome()
            _ = Connector(addresses, timeout: timeout, loop: loop, handler: outcome)
            loop.runTest()
            #expect(outcome.calls == 1)
            timeout *= 4
        } while outcome.address == nil && timeout < 10 * Clock.second
        #expect(outcome.address == address)
    }

    @Test func silenceTimesOut() throws {
        let loop = try EventLoop()
        let silent = try Silent()
        let outcome = Outcome()
        let start = loop.now
        _ = Connector([silent.address], timeout: 30 * Clock.millisecond, loop: loop, handler: outcome)
        loop.runTest()
        #expect(loop.now >= start + 30 * Clock.millisecond)
        #expect(outcome.error?.code == .timedOut)
        #expect(outcome.error?.attempts.first?.subject == "\(silent.address)")
        #expect(loop.registrationCount == 0)
        #expect(loop.timerCount == 0)
    }

    /// However much time there is, one address gets no more than its bound.
    @Test func oneAddressHasABound() throws {
        let loop = try EventLoop()
        let silent = try Silent()
        let listener = try Socket.listen(.ipv4(.loopback, port: 0))
        let address = try #require(Socket.localAddress(listener.rawValue))
        let outcome = Outcome()
        _ = Connector(
            [silent.address, address], timeout: 3_600 * Clock.second, longestShare: 30 * Clock.millisecond, loop: loop,
            handler: outcome)
        loop.runTest()
        #expect(outcome.address == address)
        let alone = Outcome()
        _ = Connector(
            [silent.address], timeout: 3_600 * Clock.second, longestShare: 30 * Clock.millisecond, loop: loop,
            handler: alone)
        loop.runTest()
        #expect(alone.error?.code == .timedOut)
        #expect(loop.timerCount == 0)
    }

    @Test func allFailuresAreReported() throws {
        let loop = try EventLoop()
        let closed = try Closed()
        let silent = try Silent()
        let outcome = Outcome()
        _ = Connector(
            [silent.address, closed.address], timeout: 3_600 * Clock.second, longestShare: 30 * Clock.millisecond,
            loop: loop, handler: outcome)
        loop.runTest()
        let error = try #require(outcome.error)
        #expect(error.attempts.map(\.errno) == [ETIMEDOUT, ECONNREFUSED])
        #expect(error.code == .refused)
        #expect(error.description.contains("\(silent.address)"))
        #expect(error.description.contains("\(closed.address)"))
    }

    @Test func nothingIsTriedWhenTheTimeIsUp() throws {
        let loop = try EventLoop()
        let listener = try Socket.listen(.ipv4(.loopback, port: 0))
        let address = try #require(Socket.localAddress(listener.rawValue))
        let outcome = Outcome()
        _ = Connector([.unix(path: "/nonexistent/socket"), address], timeout: 0, loop: loop, handler: outcome)
        loop.runTest()
        #expect(outcome.error?.attempts.map(\.errno) == [ENOENT])
    }

    @Test func noAddressIsAnError() throws {
        let loop = try EventLoop()
        let outcome = Outcome()
        _ = Connector([], loop: loop, handler: outcome)
        #expect(outcome.calls == 0)
        loop.runTest()
        #expect(outcome.error?.code == .unresolved)
    }

    @Test func unixSockets() throws {
        let loop = try EventLoop()
        let directory = try TemporaryDirectory()
        let address = SocketAddress.unix(path: directory.path + "/a.sock")
        let missing = Outcome()
        _ = Connector([address], loop: loop, handler: missing)
        #expect(missing.calls == 0)
        loop.runTest()
        #expect(missing.error?.code == .refused)
        let listener = try Socket.listen(address)
        let outcome = Outcome()
        _ = Connector([address], loop: loop, handler: outcome)
        #expect(outcome.calls == 0)
        loop.runTest()
        #expect(outcome.address == address)
        _ = listener.rawValue
    }

    @Test func fullQueueOfAUnixSocketIsTriedAgain() throws {
        let loop = try EventLoop()
        let directory = try TemporaryDirectory()
        let silent = try Silent(.unix(path: directory.path + "/a.sock"))
        let late = Outcome()
        _ = Connector([silent.address], timeout: 20 * Clock.millisecond, loop: loop, handler: late)
        loop.runTest()
        #expect(late.error?.code == .timedOut)
        let outcome = Outcome()
        _ = Connector([silent.address], loop: loop, handler: outcome)
        let probe = Probe()
        probe.onTimer = { _, _ in #expect(throws: Never.self) { try silent.open() } }
        loop.schedule(after: 2 * Clock.millisecond, probe)
        loop.runTest()
        #expect(outcome.address == silent.address)
    }

    @Test func cancelledConnectorIsSilent() throws {
        let loop = try EventLoop()
        let closed = try Closed()
        let silent = try Silent()
        let outcome = Outcome()
        for addresses in [[silent.address], [closed.address], []] {
            Connector(addresses, timeout: Clock.millisecond, loop: loop, handler: outcome).cancel()
        }
        try Connector(to: Endpoint(parsing: "localhost:1"), loop: loop, handler: outcome).cancel()
        #expect(loop.registrationCount == 0)
        #expect(loop.timerCount == 0)
        let probe = Probe()
        probe.onTimer = { _, loop in loop.handle.stop() }
        loop.schedule(after: 3 * Clock.millisecond, probe)
        loop.runTest()
        #expect(outcome.calls == 0)
    }

    @Test func connectsToANamedEndpoint() throws {
        let loop = try EventLoop()
        let listener = try Socket.listen(.ipv4(.loopback, port: 0))
        let port = try #require(Socket.localAddress(listener.rawValue)?.port)
        // Resolves to ::1 and 127.0.0.1 or to one of them; only the latter answers.
        let outcome = Outcome()
        _ = try Connector(to: Endpoint(host: "localhost", port: port), loop: loop, handler: outcome)
        loop.runTest()
        #expect(outcome.address == .ipv4(.loopback, port: port))
        let literal = Outcome()
        _ = try Connector(to: Endpoint(host: "127.0.0.1", port: port), loop: loop, handler: literal)
        loop.runTest()
        #expect(literal.address == .ipv4(.loopback, port: port))
    }

    @Test func unresolvableNameIsNamed() throws {
        let loop = try EventLoop()
        let outcome = Outcome()
        let endpoint = try Endpoint(parsing: "no-such-host.invalid:80")
        _ = Connector(to: endpoint, timeout: 15 * Clock.second, loop: loop, handler: outcome)
        loop.runTest()
        let error = try #require(outcome.error)
        #expect(error.code == .unresolved)
        #expect(error.resolution?.endpoint == endpoint)
        #expect(error.description.hasPrefix("cannot resolve no-such-host.invalid: "))
    }
}

@Suite struct ResolverTests {
    /// Remembers what was resolved and stops the loop after the expected number of answers.
    private final class Answers: ResolveHandler {
        var results: [Result<[SocketAddress], ResolveError>] = []
        var expected = 1

        func resolved(_ result: Result<[SocketAddress], ResolveError>, endpoint: Endpoint, loop: EventLoop) {
            results.append(result)
            if results.count == expected { loop.handle.stop() }
        }
    }

    @Test func literalsNeedNoThread() throws {
        let loop = try EventLoop()
        let answers = Answers()
        let endpoint = try Endpoint(parsing: "[::1]:80")
        _ = Resolver.resolve(endpoint, timeout: 0, loop: loop, handler: answers)
        #expect(answers.results.isEmpty)
        loop.runTest()
        #expect(answers.results == [.success([.ipv6(.loopback, port: 80)])])
        #expect(loop.handle.wakeUpCount == 0)
    }

    @Test func namesAreLookedUp() throws {
        let loop = try EventLoop()
        let answers = Answers()
        answers.expected = 20
        let endpoint = try Endpoint(parsing: "localhost:80")
        for _ in 0..<20 { _ = Resolver.resolve(endpoint, loop: loop, handler: answers) }
        loop.runTest()
        for result in answers.results {
            let addresses = try result.get()
            #expect(!addresses.isEmpty)
            #expect(Set(addresses).count == addresses.count)
            for address in addresses {
                #expect(address.isLoopback)
                #expect(address.port == 80)
            }
        }
        #expect(loop.timerCount == 0)
    }

    @Test func failureNamesTheHostAndWhatToDo() throws {
        let loop = try EventLoop()
        let answers = Answers()
        let endpoint = try Endpoint(parsing: "no-such-host.invalid:80")
        _ = Resolver.resolve(endpoint, timeout: 15 * Clock.second, loop: loop, handler: answers)
        loop.runTest()
        let error = try #require(throws: ResolveError.self) { _ = try answers.results[0].get() }
        #expect(error.endpoint == endpoint)
        #expect(error.description.hasPrefix("cannot resolve no-such-host.invalid: "))
        #expect(error.description.hasSuffix("; \(error.hint)"))
        // Without a network the name servers are silent; with one they say that there is no such name.
        #expect([.notFound, .temporary].contains(error.code))
    }

    /// The time is up while the answer is already on its way.
    @Test func timeoutIsReportedOnce() throws {
        let loop = try EventLoop()
        let handle = loop.handle
        let answers = Answers()
        answers.expected = 2
        let endpoint = try Endpoint(parsing: "localhost:80")
        let probe = Probe()
        defer { probe.forget() }
        probe.onTimer = { tag, loop in
            if tag == 0 {
                loop.schedule(at: 0, probe, tag: 1)
                // Its timer comes right behind that one.
                _ = Resolver.resolve(endpoint, timeout: 0, loop: loop, handler: answers)
            } else {
                // Until the answer was posted.
                while handle.wakeUpCount == 0 {}
                handle.post { handle.stop() }
            }
        }
        loop.schedule(at: 0, probe, tag: 0)
        loop.runTest()
        #expect(answers.results.count == 1)
    }

    @Test func anyThreadMayAsk() throws {
        let thread = try LoopThread(name: "resolve")
        let handle = thread.handle
        let answer = Shared<Result<[SocketAddress], ResolveError>?>(nil)
        let isOnLoop = Shared(false)
        Resolver.resolve(try Endpoint(parsing: "127.0.0.1:9"), on: handle) { result in
            isOnLoop.withLock { $0 = handle.isOnLoopThread }
            answer.withLock { $0 = result }
            handle.stop()
        }
        thread.join()
        #expect(answer.value == .success([.ipv4(.loopback, port: 9)]))
        #expect(isOnLoop.value)
    }
}
