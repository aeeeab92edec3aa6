import EventLoop
import Link

/// Streams that change their lane: the jobs that the two lanes' workers have for each other.
extension WorkerCore {
    /// So long a stream stays that could not change its lane, in nanoseconds.
    static let refusalTime: UInt64 = 5_000_000_000
    /// The most streams that begin to leave a lane in one go: each looks through what the lane has not had acknowledged.
    private static let batch = 128
    /// What a stream has to move between two looks to count as bulk, in bytes.
    private static let bulkTraffic: UInt64 = 1 << 20

    /// The link that has the session of a lane, in use or lost.
    private func carrier(of lane: Lane) -> LinkConnection? { links[lane] ?? parked[lane]?.link }

    private func carrier(of lane: Lane, where isMeant: (LinkConnection) -> Bool) -> LinkConnection? {
        if let link = carrier(of: lane), isMeant(link) { return link }
        return retiring.values.first { $0.lane == lane && isMeant($0) }
    }

    // MARK: - Wishes

    /// Other lanes to the same node that take streams.
    private func otherLanes(_ lane: Lane) -> [LaneRoute] {
        (routing.links[lane.node] ?? []).filter { $0.number != lane.number }
    }

    /// Streams of this node leave a lane for the others.
    func evacuate(_ lane: Lane, _ reason: TransferReason) {
        guard !isHandedOver, !routing.isDraining, let link = carrier(of: lane) else { return }
        let routes = otherLanes(lane)
        var coming: [UInt8: Int] = [:]
        var left = Self.batch
        for local in movable(on: link) where left > 0 {
            let now = loop.now
            let candidates = routes.map { route in
                LaneChoice.Candidate(
                    number: route.number, isHere: route.worker == index, isBulk: route.load.isBulk(now: now),
                    streams: route.load.count + coming[route.number, default: 0])
            }
            guard let best = LaneChoice.best(candidates), let route = routes.first(where: { $0.number == best.number })
            else { return }
            guard link.transfer(local, to: route, reason) else { continue }
            coming[route.number, default: 0] += 1
            left -= 1
        }
    }

    /// Remembers what the streams of a lane have moved.
    func measureTraffic(_ lane: Lane) {
        guard let link = links[lane] else { return }
        for local in movable(on: link) {
            if let stream = local.stream { local.seenTraffic = link.session.traffic(of: stream) }
        }
    }

    /// The stream of this node that has moved the most since `measureTraffic` leaves the lane for `to`, if it moves bulk.
    func moveBulk(_ lane: Lane, to number: UInt8) {
        guard !isHandedOver, !routing.isDraining, let link = links[lane], link.session.streamCount > 1,
            let route = otherLanes(lane).first(where: { $0.number == number })
        else { return }
        var best: (local: LocalConnection, traffic: UInt64)?
        for local in movable(on: link) where local.mayBalanceAt <= loop.now {
            guard let stream = local.stream else { continue }
            let moved = link.session.traffic(of: stream) &- local.seenTraffic
            if moved >= Self.bulkTraffic, moved > best?.traffic ?? 0 { best = (local, moved) }
        }
        if let best { _ = link.transfer(best.local, to: route, .rebalanced) }
    }

    /// Streams that this node's applications opened and that could go to another lane now.
    private func movable(on link: LinkConnection) -> [LocalConnection] {
        guard link.key != nil, link.session.peer.takesTransfers, link.session.canPark else { return [] }
        return link.locals.compactMap { local in
            guard let local, let attempt = local.attempt, attempt.isAccepted, !attempt.isBuiltIn, local.isPortable,
                local.mayMoveAt <= loop.now, let stream = local.stream,
                link.transfers.leaving[stream.slot]?.stream != stream
            else { return nil }
            return local
        }
    }

    // MARK: - The opener

    /// A stream of another lane wants to go on on one of this worker's.
    func beginTransfer(_ transfer: StreamTransfer) {
        if let link = links[transfer.to], link.begin(transfer) { return }
        counters.streamStayed("no_room")
        shared.workers[transfer.fromWorker].submit { $0.transferStays(transfer) }
    }

    private func leaving(_ transfer: StreamTransfer) -> LinkConnection? {
        carrier(of: transfer.from) { $0.transfers.leaving[transfer.stream.slot]?.id == transfer.id }
    }

    private func arriving(_ transfer: StreamTransfer) -> (link: LinkConnection, arrival: StreamArrival)? {
        func find(_ link: LinkConnection) -> StreamArrival? {
            link.transfers.arriving.values.first { $0.transfer.id == transfer.id }
        }
        guard let link = carrier(of: transfer.to, where: { find($0) != nil }), let arrival = find(link) else {
            return nil
        }
        return (link, arrival)
    }

    /// The other lane did not take the stream.
    func transferStays(_ transfer: StreamTransfer) {
        leaving(transfer)?.stay(transfer, until: loop.now &+ Self.refusalTime)
    }

    /// The other lane is over, or the peer ended the stream there.
    func transferLost(_ transfer: StreamTransfer, _ reason: LinkReason) {
        leaving(transfer)?.transferLost(transfer, reason)
    }

    /// The peer has the stream on the other lane: this worker gives it away.
    func depart(_ transfer: StreamTransfer, _ answer: TransferAnswer) {
        // Without it the stream has come to its end here, and the other lane was told.
        guard let link = leaving(transfer) else { return }
        guard let cargo = link.depart(transfer, answer) else {
            return shared.workers[transfer.toWorker].submit { $0.cancelTransfer(transfer) }
        }
        let box = Handover(cargo)
        shared.workers[transfer.toWorker].submit { $0.arrive(transfer, box.value) }
    }

    /// A stream comes to one of this worker's lanes.
    func arrive(_ transfer: StreamTransfer, _ cargo: TransferCargo) {
        guard let (link, arrival) = arriving(transfer) else {
            if let handover = cargo.local { discard(handover) }
            return
        }
        link.arrive(arrival, cargo)
    }

    /// The stream that was to come is over.
    func cancelTransfer(_ transfer: StreamTransfer) {
        guard let (link, arrival) = arriving(transfer) else { return }
        link.transfers.arriving[arrival.stream.slot] = nil
        counters.streamStayed("over")
        link.session.reset(arrival.stream, .cancelled)
        link.scheduleFlush()
    }

    // MARK: - The acceptor

    /// A stream of the peer that is on a lane of this worker is to go on on another one.
    func giveStream(_ offer: TransferOffer) {
        let box = Handover(carrier(of: offer.from)?.give(offer))
        shared.workers[offer.toWorker].submit { $0.takeStream(offer, box.value) }
    }

    /// The answer to an offer that a lane of this worker has passed on; nil: the stream cannot go.
    func takeStream(_ offer: TransferOffer, _ cargo: TransferCargo?) {
        let link = carrier(of: offer.to) { $0.transfers.offered[offer.stream.slot]?.id == offer.id }
        guard let link else {
            if let handover = cargo?.local { discard(handover) }
            return
        }
        link.take(offer, cargo)
    }

    // MARK: - Sockets

    /// A connection of this worker goes on on another one.
    func handedOver(_ handover: LocalHandover) {
        shared.handovers.begin()
        if case .application(let attempt) = handover.role, !attempt.isBuiltIn { localCount -= 1 }
    }

    /// A connection of another worker goes on here.
    func takeOver(_ handover: LocalHandover) -> LocalConnection {
        shared.handovers.end()
        if case .application(let attempt) = handover.role, !attempt.isBuiltIn { localCount += 1 }
        return LocalConnection(handover, core: self)
    }

    /// The stream of a connection ended on its way to another lane.
    func discard(_ handover: LocalHandover) {
        let local = takeOver(handover)
        local.attempt?.observer?(.broken(reason: LinkReason.cancelled.name))
        local.reset()
    }
}
