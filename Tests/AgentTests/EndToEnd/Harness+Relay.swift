import Foundation

/// Carries connections to another address, and can go deaf in one direction at a moment of the protocol.
///
/// Moments are counted in *flights*: what one end says before the other one speaks.
final class Relay: @unchecked Sendable {
    private let lock = NSLock()
    private var pairs: [(client: Wire, server: Wire, flights: Flights)] = []
    private var deafFrom: Int?
    private var isShut = false
    /// This connection stands still, and those before it.
    private var heldThrough = -1
    private var flightsOfLast: Flights?
    private(set) var service: ThreadedService!

    var address: String { service.address }

    init(_ mesh: TestMesh, to target: String) throws {
        service = try mesh.service { [weak self] client in try self?.carry(client, to: target) }
    }

    /// The next connection that gets so far loses what the client says once the server's `flight`th flight has begun.
    func goDeaf(fromServersFlight flight: Int) { lock.withLock { deafFrom = flight } }

    /// Whether a connection has gone deaf since.
    var hasGoneDeaf: Bool { lock.withLock { deafFrom == nil } }

    /// What comes on the connections that there are stays here until `release`.
    func hold() { lock.withLock { heldThrough = pairs.count - 1 } }

    /// Lets it go on.
    func release() { lock.withLock { heldThrough = -1 } }

    /// Waits until somebody has dialled after `hold`, and has said HELLO: the third thing that it says.
    func waitForHello() throws {
        try Deadline.until("somebody says HELLO") {
            lock.withLock { pairs.count > heldThrough + 1 ? flightsOfLast : nil }?.clientFlights ?? 0 >= 3
        }
    }

    /// Resets all connections.
    func cut() {
        let pairs = lock.withLock {
            defer { self.pairs = [] }
            return self.pairs
        }
        for pair in pairs {
            pair.flights.isCut = true
            // A thread reads each: shutdown wakes it, and what follows is a reset.
            for wire in [pair.client, pair.server] {
                wire.stop(Int(SHUT_RD))
                wire.abort()
            }
        }
    }

    /// Resets all connections but the first ones, and from now on every new one at once.
    func cutForGood(sparing count: Int) {
        let spared = lock.withLock {
            isShut = true
            defer { pairs.removeFirst(min(count, pairs.count)) }
            return Array(pairs.prefix(count))
        }
        cut()
        lock.withLock { pairs = spared }
    }

    private func carry(_ client: Wire, to target: String) throws {
        guard !lock.withLock({ isShut }) else { return client.abort() }
        // Who dials must not learn that the target has not started yet, and go another way.
        let server = try Deadline.wait("the relay's target listens") { try? Wire(target) }
        let flights = Flights()
        let number = lock.withLock {
            pairs.append((client, server, flights))
            flightsOfLast = flights
            return pairs.count - 1
        }
        let back = Background { [self] in
            try copy(server, client, flights) {
                self.noteServer(flights)
                return self.waitUntilReleased(number)
            }
        }
        try? copy(client, server, flights) { flights.clientSpeaks() && waitUntilReleased(number) }
        if !flights.isCut { server.finishSending() }
        _ = try? back.value()
    }

    private func waitUntilReleased(_ number: Int) -> Bool {
        while lock.withLock({ number <= heldThrough }) { usleep(1_000) }
        return true
    }

    private func noteServer(_ flights: Flights) {
        lock.withLock {
            guard flights.serverSpeaks() == deafFrom else { return }
            deafFrom = nil
            flights.isDeaf = true
        }
    }

    /// - Parameter passes: asked about each piece before it goes on.
    private func copy(_ from: Wire, _ to: Wire, _ flights: Flights, _ passes: () -> Bool) throws {
        while true {
            switch from.receive() {
            case .bytes(let bytes): if passes() { try to.send(bytes) }
            case .nothing: continue
            case .end, .reset:
                // A cut is a reset for both ends, not an end for one of them.
                if !flights.isCut { to.finishSending() }
                return
            }
        }
    }

    private final class Flights: @unchecked Sendable {
        private let lock = NSLock()
        private var count = 0
        private var clientSpokeLast = true
        private var deaf = false
        private var cut = false

        /// How often the client has spoken.
        var clientFlights: Int { lock.withLock { count + (clientSpokeLast ? 1 : 0) } }

        var isDeaf: Bool {
            get { lock.withLock { deaf } }
            set { lock.withLock { deaf = newValue } }
        }

        /// Somebody has cut the connection.
        var isCut: Bool {
            get { lock.withLock { cut } }
            set { lock.withLock { cut = newValue } }
        }

        func serverSpeaks() -> Int {
            lock.withLock {
                if clientSpokeLast { count += 1 }
                clientSpokeLast = false
                return count
            }
        }

        /// Whether the piece goes on.
        func clientSpeaks() -> Bool {
            lock.withLock {
                clientSpokeLast = true
                return !deaf
            }
        }
    }
}
