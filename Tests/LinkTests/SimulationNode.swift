import Bytes
import Link
import SeededRandom

/// A rule that the simulation found broken.
struct Broken: Error, CustomStringConvertible {
    var description: String
}

/// What one end believes of one stream; the simulation compares the two ends' beliefs.
final class SimulatedStream: SimulatedApplication {
    let handle: StreamHandle
    var refused = false
    var refusal: LinkReason?
    var waitingSince = 0
    var place = 0

    init(id: UInt64, handle: StreamHandle, openedHere: Bool, plan: Int) {
        self.handle = handle
        super.init(number: id, openedHere: openedHere, plan: plan)
    }

    /// On the link.
    var id: UInt64 { number }
}

/// What the simulation came across; a run that never met something proves nothing about it.
struct SimulationCoverage: SimulationCounts {
    var opened = 0, accepted = 0, refused = 0, resets = 0, goAways = 0, cuts = 0, pongs = 0
    var bytes = 0
    var writable = 0
    /// Turns that were not given because the retention limit was reached.
    var retentionStops = 0
    /// Credit seen above the floor: windows grew.
    var grownWindows = 0
    var finishedWithData = 0
    var notOpened = 0

    static var fields: [WritableKeyPath<SimulationCoverage, Int>] {
        [
            \.opened, \.accepted, \.refused, \.resets, \.goAways, \.cuts, \.pongs, \.bytes, \.writable,
            \.retentionStops, \.grownWindows, \.finishedWithData, \.notOpened,
        ]
    }
}

/// One simulated agent: a session, its applications, and the wire towards it.
final class SimulatedNode {
    let name: String
    let session: Session
    let budget: ReceiveBudget
    let pool: SegmentPool
    let maximumWindow: Int
    var wire: WireReader
    /// Bytes on their way to this node.
    let arriving = ByteQueueBox()
    var all: [UInt64: SimulatedStream] = [:]
    var bySlot: [UInt32: SimulatedStream] = [:]
    var live: [SimulatedStream] = []
    var offers: [SimulatedStream] = []
    var turn = 0
    var goneAway = false
    /// What becomes of a session that moves to another link.
    var moving: (SessionEvent) throws -> Void = { event in throw Broken(description: "\(event) without a move") }
    var flavour: SimulationFlavour
    var coverage = SimulationCoverage()

    init(
        name: String, session: Session, budget: ReceiveBudget, pool: SegmentPool, flavour: SimulationFlavour
    ) {
        self.name = name
        self.session = session
        self.budget = budget
        self.pool = pool
        self.flavour = flavour
        maximumWindow = session.configuration.maximumWindow
        wire = WireReader(receiver: session.role)
    }

    /// One of a pair whose first dials the other, with what chance gives it: receive budget and log.
    convenience init(
        _ index: Int, _ configuration: SessionConfiguration, peer: Hello, swapped: Bool, seed: UInt64, now: UInt64,
        flavour: SimulationFlavour, _ randomness: inout SeededRandom
    ) {
        let budget = ReceiveBudget(limit: randomness.oneIn(3) ? configuration.initialCredit * 6 : 256 << 20)
        // Also one that holds nothing but each session's own segment.
        let pool = SegmentPool(keep: 4, limit: [4_096, 2, 0][Int(seed % 3)])
        let session = Session(
            role: index == 0 ? .dialler : .acceptor, parity: (index == 0) == swapped ? .even : .odd,
            configuration: configuration, peer: peer, budget: budget, pool: pool,
            masks: maskKeys(seed: seed &+ UInt64(index)), seed: randomness.next(), now: now, unixMilliseconds: 1_000)
        self.init(name: index == 0 ? "A" : "B", session: session, budget: budget, pool: pool, flavour: flavour)
    }

    private func broken(_ text: String) -> Broken { Broken(description: "\(name): \(text)") }

    func add(_ stream: SimulatedStream) throws {
        guard all[stream.id] == nil else { throw broken("stream id \(stream.id) twice") }
        all[stream.id] = stream
        bySlot[stream.handle.slot] = stream
        stream.place = live.count
        live.append(stream)
    }

    private func remove(_ stream: SimulatedStream) {
        guard stream.place < live.count, live[stream.place] === stream else { return }
        let last = live.removeLast()
        if last !== stream {
            live[stream.place] = last
            last.place = stream.place
        }
        stream.place = .max
    }

    private func settle(_ stream: SimulatedStream) throws {
        guard stream.isComplete else { return }
        remove(stream)
        // An END that waits for room in the log keeps its stream.
        if session.isLive(stream.handle), session.configuration.controlReserve > 64 {
            throw broken("stream \(stream.id) is over and still lives")
        }
    }

    // MARK: Applications

    func open(_ randomness: inout SeededRandom, now: UInt64) throws {
        let request = OpenRequest(
            service: "service-\(randomness.below(100))", instance: randomness.oneIn(2) ? "" : "node/db",
            principal: randomness.oneIn(2) ? "" : "uid:1000")
        let handle: StreamHandle
        do {
            handle = try session.open(request, now: now)
        } catch {
            switch error {
            case .goingAway, .tooManyStreams, .overloaded, .congested:
                coverage.notOpened += 1
                return
            case .ended, .badRequest, .idsExhausted: throw broken("open: \(error)")
            }
        }
        guard let id = session.id(of: handle) else { throw broken("a new stream without id") }
        guard id & 1 == session.parity.rawValue else { throw broken("stream \(id) of the wrong parity") }
        try add(SimulatedStream(id: id, handle: handle, openedHere: true, plan: flavour.plan(&randomness)))
    }

    func answer(_ randomness: inout SeededRandom) throws {
        guard !offers.isEmpty else { return }
        let stream = offers.remove(at: randomness.below(offers.count))
        guard !stream.ended else { return }
        if randomness.oneIn(8) {
            session.refuse(stream.handle, .noSuchService, detail: "no such service")
            stream.ended = true
            stream.refused = true
            remove(stream)
        } else {
            session.accept(stream.handle)
            stream.accepted = true
            try settle(stream)
        }
    }

    func mark(_ stream: SimulatedStream) {
        // Once, like an edge-triggered poller: the session must not need to be told again.
        guard !stream.marked, !stream.sendFinished, !stream.ended, stream.accepted || stream.openedHere else { return }
        session.markReadable(stream.handle)
        stream.waitingSince = turn
        stream.marked = true
    }

    func finish(_ stream: SimulatedStream) throws {
        guard !stream.sendFinished, !stream.ended, stream.accepted || stream.openedHere, stream.sent == stream.plan
        else {
            return
        }
        session.finish(stream.handle)
        stream.sendFinished = true
        try settle(stream)
    }

    func reset(_ stream: SimulatedStream, _ reason: LinkReason = .applicationReset) throws {
        session.reset(stream.handle, reason, detail: "the application reset its connection")
        stream.ended = true
        if session.isLive(stream.handle) { throw broken("stream \(stream.id) was reset and lives") }
        remove(stream)
    }

    func consume(_ stream: SimulatedStream, _ count: Int) throws {
        guard count > 0, stream.accepted || stream.openedHere else { return }
        session.consumed(stream.handle, count)
        stream.unread -= count
        guard stream.isComplete || session.unconsumed(of: stream.handle) == stream.unread else {
            throw broken("unconsumed() of stream \(stream.id) is wrong")
        }
        try settle(stream)
    }

    /// One turn of the scheduler.
    func send(_ randomness: inout SeededRandom) throws {
        guard let ready = session.nextReady() else {
            if session.readyStreams > 0 { coverage.retentionStops += 1 }
            return
        }
        turn += 1
        guard let stream = bySlot[ready.stream.slot], stream.handle == ready.stream, !stream.isComplete else {
            throw broken("the scheduler named a stream that is over")
        }
        guard ready.quantum > 0, ready.quantum <= session.credit(of: stream.handle) else {
            throw broken("quantum \(ready.quantum) with credit \(session.credit(of: stream.handle))")
        }
        // Where the log is tight, a stream may also wait for its ACCEPT to be written.
        let tight = session.configuration.controlReserve <= 64
        if turn - stream.waitingSince > 4 * flavour.streams + 8, !tight || stream.openedHere {
            throw broken("stream \(stream.id) waited for \(turn - stream.waitingSince) turns")
        }
        stream.waitingSince = turn
        let left = stream.plan - stream.sent
        guard left > 0 else {
            session.clearReadable(stream.handle)
            stream.marked = false
            return
        }
        let credit = session.credit(of: stream.handle)
        if credit > Int(session.peer.initialCredit) { coverage.grownWindows += 1 }
        guard let room = session.sendRoom(stream.handle, atMost: ready.quantum) else { return }
        guard room.count <= ready.quantum else { throw broken("more room than asked for") }
        let count = min(randomness.oneIn(10) ? 0 : randomness.size(upTo: room.count), left)
        Pattern.fill(UnsafeMutableRawBufferPointer(rebasing: room[..<count]), seed: stream.outSeed, offset: stream.sent)
        stream.sent += count
        let finish = count > 0 && stream.sent == stream.plan && randomness.oneIn(2)
        if finish { stream.sendFinished = true }
        session.commit(stream.handle, count, finish: finish)
        guard stream.isComplete || session.credit(of: stream.handle) == credit - count else {
            throw broken("credit after \(count) bytes")
        }
        try settle(stream)
    }

    // MARK: The wire

    /// Moves up to `limit` bytes from the log to the wire of `peer`.
    func transmit(to peer: SimulatedNode, limit: Int) {
        guard peer.arriving.queue.count < flavour.wireCapacity else { return }
        _ = session.withUnsent { bytes in
            let count = min(bytes.count, limit)
            peer.arriving.queue.append(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
            return count
        }
    }

    /// Takes up to `limit` bytes from the wire.
    func deliver(limit: Int, now: UInt64, _ randomness: inout SeededRandom) throws {
        let count = min(limit, arriving.queue.count)
        guard count > 0 else { return }
        arriving.queue.withReadable { wire.append(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        arriving.queue.consume(count)
        var events: [SimulatedStream] = []
        try wire.drain { frame in
            if let stream = try self.take(self.session.received(frame, now: now), frame, &randomness) {
                events.append(stream)
            }
        }
        for stream in events { try settle(stream) }
    }

    private func stream(_ handle: StreamHandle) throws -> SimulatedStream {
        guard let stream = bySlot[handle.slot], stream.handle == handle else {
            throw broken("event for stale \(handle)")
        }
        if stream.ended { throw broken("event for stream \(stream.id), which was reset") }
        return stream
    }

    /// Takes one frame of the link that carries the session.
    func receive(_ frame: UnsafeRawBufferPointer, now: UInt64, _ randomness: inout SeededRandom) throws {
        if let stream = try take(session.received(frame, now: now), frame, &randomness) { try settle(stream) }
    }

    private func take(
        _ event: SessionEvent, _ frame: UnsafeRawBufferPointer, _ randomness: inout SeededRandom
    ) throws -> SimulatedStream? {
        switch event {
        case .none, .moveWanted, .lanes: return nil
        case .switched, .moveLost:
            try moving(event)
            return nil
        case .pong:
            coverage.pongs += 1
            return nil
        case .goAway:
            coverage.goAways += 1
            return nil
        case .opened(let handle):
            guard let id = session.id(of: handle) else { throw broken("an offered stream without id") }
            guard session.lastRequest?.service.hasPrefix("service-") == true else { throw broken("request lost") }
            coverage.opened += 1
            let stream = SimulatedStream(id: id, handle: handle, openedHere: false, plan: flavour.plan(&randomness))
            try add(stream)
            offers.append(stream)
            return nil
        case .accepted(let handle):
            let stream = try stream(handle)
            if stream.accepted { throw broken("accepted twice") }
            coverage.accepted += 1
            stream.accepted = true
            stream.waitingSince = turn
            return stream
        case .refused(let handle, let reason):
            let stream = try stream(handle)
            guard !stream.accepted, stream.openedHere else { throw broken("refused after it was accepted") }
            let expected: [LinkReason] = [
                .noSuchService, .goingAway, .tooManyStreams, .streamOverloaded, .applicationReset, .accessWithdrawn,
            ]
            guard expected.contains(reason) else { throw broken("refused with \(reason)") }
            coverage.refused += 1
            stream.ended = true
            stream.refused = true
            stream.refusal = reason
            return stream
        case .data(let handle, let range, let finished):
            let stream = try stream(handle)
            let bytes = UnsafeRawBufferPointer(rebasing: frame[range])
            if stream.receiveFinished { throw broken("data after the end of stream \(stream.id)") }
            guard Pattern.matches(bytes, seed: stream.inSeed, offset: stream.received) else {
                throw broken("stream \(stream.id): wrong bytes at \(stream.received)")
            }
            coverage.bytes += bytes.count
            stream.received += bytes.count
            stream.unread += bytes.count
            if stream.unread > max(maximumWindow, session.configuration.initialCredit) {
                throw broken("stream \(stream.id) holds \(stream.unread) bytes")
            }
            if finished {
                coverage.finishedWithData += 1
                stream.receiveFinished = true
            }
            return stream
        case .finished(let handle):
            let stream = try stream(handle)
            if stream.receiveFinished { throw broken("two ends of stream \(stream.id)") }
            stream.receiveFinished = true
            return stream
        case .reset(let handle, let reason):
            let stream = try stream(handle)
            guard [.applicationReset, .accessWithdrawn].contains(reason) else { throw broken("reset with \(reason)") }
            coverage.resets += 1
            stream.ended = true
            return stream
        case .writable(let handle):
            let stream = try stream(handle)
            guard session.credit(of: stream.handle) > 0 else { throw broken("writable without credit") }
            stream.waitingSince = turn
            coverage.writable += 1
            return nil
        case .transferOffered, .taken: throw broken("\(event) without another lane")
        case .violation(let reason):
            throw broken("violation \(reason): \(session.lastNotice.detail)")
        }
    }

    // MARK: Rules that always hold

    func check() throws {
        guard session.currentState == .open else { throw broken("state \(session.currentState)") }
        guard budget.used <= budget.limit, budget.used >= 0 else { throw broken("budget \(budget.used)") }
        var unread = 0
        for stream in live { unread += stream.unread }
        guard unread <= budget.used else { throw broken("\(unread) unread bytes with \(budget.used) reserved") }
        let bound = session.configuration.retentionLimit + (2 << 20)
        guard session.retainedBytes <= bound else { throw broken("\(session.retainedBytes) bytes retained") }
        guard session.unsentBytes <= session.retainedBytes else { throw broken("unsent exceeds retained") }
        guard session.streamCount >= live.count else {
            throw broken("\(live.count) streams live, the session has \(session.streamCount)")
        }
    }
}
