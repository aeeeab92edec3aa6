import Bytes
import Link
import SeededRandom

/// One simulated agent with several lanes: what its shell does with sessions, applications and jobs between workers.
final class LaneAgent {
    let index: Int
    let name: String
    let budget: ReceiveBudget
    let quota: StreamQuota
    let pool: SegmentPool
    let flavour: SimulationFlavour
    var lanes: [LaneEnd] = []
    var all: [UInt64: LaneStream] = [:]
    var live: [LaneStream] = []
    var offers: [LaneStream] = []
    var coverage = LaneCoverage()
    /// Jobs from one lane's worker to another's: those of the same pair keep their order.
    private var jobs: [(way: Int, run: () throws -> Void)] = []

    /// - Parameters:
    ///   - streams: the most streams of the peer.
    ///   - segments: the worker's memory.
    init(index: Int, budget: Int, streams: Int, segments: Int, flavour: SimulationFlavour) {
        self.index = index
        name = index == 0 ? "A" : "B"
        self.budget = ReceiveBudget(limit: budget)
        quota = StreamQuota(limit: streams)
        pool = SegmentPool(keep: 4, limit: segments)
        self.flavour = flavour
    }

    func broken(_ text: String) -> Broken { Broken(description: "\(name): \(text)") }

    // MARK: Jobs

    func post(_ from: LaneEnd, _ to: LaneEnd, _ run: @escaping () throws -> Void) { post(from, to.number, run) }

    func post(_ from: LaneEnd, _ to: Int, _ run: @escaping () throws -> Void) {
        jobs.append((from.number * 16 + to, run))
    }

    var hasJobs: Bool { !jobs.isEmpty }

    func runJob(_ randomness: inout SeededRandom) throws {
        guard !jobs.isEmpty else { return }
        let way = jobs[randomness.below(jobs.count)].way
        guard let first = jobs.firstIndex(where: { $0.way == way }) else { return }
        try jobs.remove(at: first).run()
    }

    // MARK: Applications

    func open(_ number: UInt64, on lane: LaneEnd, _ randomness: inout SeededRandom, now: UInt64) throws {
        let handle: StreamHandle
        do {
            handle = try lane.session.open(OpenRequest(service: "s-\(number)"), now: now)
        } catch {
            switch error {
            case .goingAway, .tooManyStreams, .overloaded, .congested: return
            case .ended, .badRequest, .idsExhausted: throw broken("open: \(error)")
            }
        }
        let stream = LaneStream(
            number: number, openedHere: true, lane: lane, handle: handle, plan: flavour.plan(&randomness))
        try add(stream)
    }

    private func add(_ stream: LaneStream) throws {
        guard all[stream.number] == nil else { throw broken("stream \(stream.number) twice") }
        all[stream.number] = stream
        stream.lane?.streams[stream.handle.slot] = stream
        live.append(stream)
    }

    func answer(_ randomness: inout SeededRandom) throws {
        guard !offers.isEmpty else { return }
        let stream = offers.remove(at: randomness.below(offers.count))
        guard !stream.ended, let session = stream.lane?.session else { return }
        if randomness.oneIn(10) {
            session.refuse(stream.handle, .noSuchService)
            end(stream)
            coverage.declined += 1
        } else {
            session.accept(stream.handle)
            stream.accepted = true
            try settle(stream)
        }
    }

    func mark(_ stream: LaneStream) {
        guard stream.isUsable, !stream.marked, !stream.sendFinished else { return }
        stream.lane?.session.markReadable(stream.handle)
        stream.marked = true
    }

    func finish(_ stream: LaneStream) throws {
        guard stream.isUsable, !stream.sendFinished, stream.sent == stream.plan else { return }
        stream.lane?.session.finish(stream.handle)
        stream.sendFinished = true
        try settle(stream)
    }

    func consume(_ stream: LaneStream, _ count: Int) throws {
        guard count > 0, stream.isUsable, let session = stream.lane?.session else { return }
        session.consumed(stream.handle, count)
        stream.unread -= count
        guard stream.isComplete || session.unconsumed(of: stream.handle) == stream.unread else {
            throw broken("unconsumed() of stream \(stream.number) is \(session.unconsumed(of: stream.handle))")
        }
        try settle(stream)
    }

    func reset(_ stream: LaneStream) throws {
        guard stream.isUsable, let lane = stream.lane else { return }
        lane.session.reset(stream.handle, .applicationReset)
        if lane.session.isLive(stream.handle) { throw broken("stream \(stream.number) was reset and lives") }
        coverage.resets += 1
        end(stream)
    }

    /// The stream is over, for the application too.
    func end(_ stream: LaneStream) {
        stream.ended = true
        remove(stream)
        cancelTransfer(of: stream)
    }

    private func remove(_ stream: LaneStream) {
        if let place = live.firstIndex(where: { $0 === stream }) { live.remove(at: place) }
    }

    func settle(_ stream: LaneStream) throws {
        guard stream.isComplete else { return }
        remove(stream)
        // One that leaves, or that the lane before had something of that comes again, stays a little longer.
        guard stream.moves == 0, stream.leaving == nil, let session = stream.lane?.session else { return }
        if session.isLive(stream.handle), session.configuration.controlReserve > 64 {
            throw broken("stream \(stream.number) is over and still lives")
        }
    }

    /// One turn of a lane's scheduler.
    func send(on lane: LaneEnd, _ randomness: inout SeededRandom) throws {
        guard lane.link != nil, let ready = lane.session.nextReady() else { return }
        guard let stream = lane.streams[ready.stream.slot], stream.handle == ready.stream, stream.lane === lane,
            !stream.isComplete
        else { throw broken("the scheduler named a stream that is over") }
        let left = stream.plan - stream.sent
        guard left > 0 else {
            lane.session.clearReadable(stream.handle)
            stream.marked = false
            return
        }
        guard let room = lane.session.sendRoom(stream.handle, atMost: ready.quantum) else { return }
        let count = min(randomness.oneIn(10) ? 0 : randomness.size(upTo: room.count), left)
        Pattern.fill(
            UnsafeMutableRawBufferPointer(rebasing: room[..<count]), seed: stream.outSeed, offset: stream.sent)
        stream.sent += count
        let finish = count > 0 && stream.sent == stream.plan && randomness.oneIn(2)
        if finish { stream.sendFinished = true }
        lane.session.commit(stream.handle, count, finish: finish)
        try settle(stream)
    }

    // MARK: The wire

    func transmit(_ lane: LaneEnd, limit: Int) {
        guard let link = lane.link, link.toEnd[1 - index].queue.count < flavour.wireCapacity else { return }
        _ = lane.session.withUnsent { bytes in
            let count = min(bytes.count, limit)
            if !link.isSilent {
                link.toEnd[1 - index].queue.append(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
            }
            return count
        }
    }

    func deliver(_ lane: LaneEnd, limit: Int, now: UInt64, _ randomness: inout SeededRandom) throws {
        guard let link = lane.link else { return }
        let queue = link.toEnd[index]
        let count = min(limit, queue.queue.count)
        guard count > 0 else { return }
        var reader = link.readers[index]
        queue.queue.withReadable { reader.append(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        queue.queue.consume(count)
        try reader.drain { frame in
            try take(lane.session.received(frame, now: now), frame, lane, &randomness)
        }
        link.readers[index] = reader
    }

    private func stream(_ handle: StreamHandle, _ lane: LaneEnd) throws -> LaneStream {
        guard let stream = lane.streams[handle.slot], stream.handle == handle, stream.lane === lane else {
            throw broken("event for stale \(handle)")
        }
        if stream.ended { throw broken("event for stream \(stream.number), which is over") }
        return stream
    }

    private func take(
        _ event: SessionEvent, _ frame: UnsafeRawBufferPointer, _ lane: LaneEnd, _ randomness: inout SeededRandom
    ) throws {
        switch event {
        case .none, .pong, .writable, .goAway: break
        case .opened(let handle):
            guard let text = lane.session.lastRequest?.service.dropFirst(2), let number = UInt64(text) else {
                throw broken("request lost")
            }
            let stream = LaneStream(
                number: number, openedHere: false, lane: lane, handle: handle, plan: flavour.plan(&randomness))
            try add(stream)
            offers.append(stream)
        case .accepted(let handle):
            let stream = try stream(handle, lane)
            if stream.accepted { throw broken("accepted twice") }
            stream.accepted = true
            coverage.accepted += 1
            try settle(stream)
        case .refused(let handle, let reason):
            if lane.arriving[handle.slot]?.handle == handle { return transferRefused(handle, lane) }
            let stream = try stream(handle, lane)
            let expected: [LinkReason] = [.noSuchService, .goingAway, .tooManyStreams, .streamOverloaded]
            guard !stream.accepted, expected.contains(reason) else { throw broken("refused with \(reason)") }
            end(stream)
        case .data(let handle, let range, let finished):
            let bytes = UnsafeRawBufferPointer(rebasing: frame[range])
            if let ticket = lane.arriving[handle.slot], ticket.handle == handle {
                ticket.held.append(contentsOf: bytes)
                if finished { ticket.heldEnd = true }
                coverage.held += bytes.count
                return
            }
            let stream = try stream(handle, lane)
            try received(bytes, stream)
            if finished { try ended(stream) }
            try settle(stream)
        case .finished(let handle):
            if let ticket = lane.arriving[handle.slot], ticket.handle == handle {
                ticket.heldEnd = true
                return
            }
            let stream = try stream(handle, lane)
            try ended(stream)
            try settle(stream)
        case .reset(let handle, let reason):
            if try transferReset(handle, lane) { return }
            let stream = try stream(handle, lane)
            guard reason == .applicationReset || reason == .cancelled else { throw broken("reset with \(reason)") }
            end(stream)
        case .transferOffered(let handle): transferOffered(handle, lane)
        case .taken(let handle): try transferTaken(handle, lane)
        case .violation(let reason): throw broken("violation \(reason): \(lane.session.lastNotice.detail)")
        case .switched, .moveLost, .moveWanted, .lanes: throw broken("\(event)")
        }
    }

    func received(_ bytes: UnsafeRawBufferPointer, _ stream: LaneStream) throws {
        if stream.receiveFinished, !bytes.isEmpty { throw broken("data after the end of stream \(stream.number)") }
        guard Pattern.matches(bytes, seed: stream.inSeed, offset: stream.received) else {
            throw broken("stream \(stream.number): wrong bytes at \(stream.received), moved \(stream.moves) times")
        }
        coverage.bytes += bytes.count
        stream.received += bytes.count
        stream.unread += bytes.count
        let window = max(lanes[0].session.configuration.maximumWindow, lanes[0].session.configuration.initialCredit)
        if stream.unread > window { throw broken("stream \(stream.number) holds \(stream.unread) bytes") }
    }

    func ended(_ stream: LaneStream) throws {
        if stream.receiveFinished { throw broken("two ends of stream \(stream.number)") }
        stream.receiveFinished = true
    }

    // MARK: Links and lanes

    /// The link is gone for this end.
    func park(_ lane: LaneEnd, now: UInt64) {
        guard lane.link != nil, !lane.isOver else { return }
        lane.link = nil
        guard lane.session.canPark else { return giveUp(lane) }
        lane.session.park(now: now)
    }

    /// The lane's session is over.
    func giveUp(_ lane: LaneEnd) {
        guard !lane.isOver else { return }
        lane.isOver = true
        lane.link = nil
        _ = lane.session.linkLost()
        for stream in lane.streams.values where stream.lane === lane && !stream.ended {
            if !stream.isComplete || stream.leaving != nil { end(stream) }
        }
        lane.streams = [:]
        lane.offered = [:]
        for ticket in lane.arriving.values { transferLost(ticket) }
        lane.arriving = [:]
    }

    // MARK: Rules that always hold

    func check() throws {
        guard budget.used <= budget.limit, budget.used >= 0 else { throw broken("budget \(budget.used)") }
        let places = live.count { !$0.openedHere }
        guard quota.used <= quota.limit, quota.used >= places else {
            throw broken("\(quota.used) places, of \(quota.limit), for \(places) streams")
        }
        for lane in lanes where !lane.isOver {
            guard lane.session.currentState == .open else { throw broken("state \(lane.session.currentState)") }
        }
        let unread = live.reduce(0) { $0 + $1.unread }
        guard unread <= budget.used else { throw broken("\(unread) unread bytes with \(budget.used) reserved") }
    }

    /// Nothing is left.
    func checkEmpty() throws {
        for lane in lanes {
            let session = lane.session
            guard session.streamCount == 0, session.retainedBytes == 0, session.readyStreams == 0,
                session.unacknowledgedFrames == 0
            else {
                throw broken("lane \(lane.number) has \(session.streamCount) streams, \(session.retainedBytes) bytes")
            }
            guard lane.arriving.isEmpty, lane.offered.isEmpty else { throw broken("streams stay on their way") }
        }
        guard budget.used == 0 else { throw broken("budget \(budget.used) at rest") }
        guard quota.used == 0 else { throw broken("\(quota.used) places at rest") }
        guard pool.segmentsInUse == 0 else { throw broken("\(pool.segmentsInUse) segments at rest") }
    }
}
