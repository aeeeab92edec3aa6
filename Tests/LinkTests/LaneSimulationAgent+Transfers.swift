import Link

/// How an agent's streams change their lane. Each function runs where the lane is that it speaks of; what concerns another one
/// is a job.
extension LaneAgent {
    // MARK: The opener

    /// Asks for `stream` to go on on `to`.
    func beginTransfer(_ stream: LaneStream, to: LaneEnd, now: @escaping () -> UInt64) {
        guard let from = stream.lane, from !== to, stream.leaving == nil,
            let request = from.session.leave(stream.handle, lane: UInt8(from.number))
        else { return }
        let ticket = LaneTicket(stream: stream, from: from, to: to, request: request)
        stream.leaving = ticket
        coverage.begun += 1
        if from.link == nil { coverage.fromParked += 1 }
        if stream.sendFinished || stream.receiveFinished { coverage.movedHalfClosed += 1 }
        post(from, to) { [unowned self] in
            guard stream.leaving === ticket else { return }
            do throws(SessionError) {
                guard !to.isOver else { throw .ended }
                let handle = try to.session.transfer(request, now: now())
                ticket.handle = handle
                to.arriving[handle.slot] = ticket
            } catch {
                coverage.notBegun += 1
                post(to, from) { [unowned self] in try stay(ticket) }
            }
        }
    }

    private func stay(_ ticket: LaneTicket) throws {
        guard ticket.stream.leaving === ticket else { return }
        ticket.stream.leaving = nil
        ticket.from.session.stay(ticket.stream.handle)
        try settle(ticket.stream)
    }

    func transferRefused(_ handle: StreamHandle, _ lane: LaneEnd) {
        guard let ticket = lane.arriving.removeValue(forKey: handle.slot) else { return }
        coverage.refused += 1
        post(lane, ticket.from) { [unowned self] in try stay(ticket) }
    }

    func transferTaken(_ handle: StreamHandle, _ lane: LaneEnd) throws {
        guard let ticket = lane.arriving[handle.slot], ticket.handle == handle, let answer = lane.session.lastAnswer
        else {
            throw broken("TAKEN for nothing")
        }
        ticket.answer = answer
        post(lane, ticket.from) { [unowned self] in try release(ticket, answer) }
    }

    private func release(_ ticket: LaneTicket, _ answer: TransferAnswer) throws {
        let stream = ticket.stream
        guard stream.leaving === ticket else { return }
        let missing = stream.sent - Int(answer.received)
        let detached: DetachedStream
        do throws(TransferError) {
            detached = try ticket.from.session.depart(stream.handle, answer)
        } catch {
            throw broken("stream \(stream.number) does not depart: \(error)")
        }
        if missing > 0 { coverage.tails += 1 }
        ticket.from.streams[stream.handle.slot] = nil
        stream.leaving = nil
        stream.lane = nil
        post(ticket.from, ticket.to) { [unowned self] in try arrive(ticket, detached) }
    }

    private func arrive(_ ticket: LaneTicket, _ detached: DetachedStream) throws {
        let (stream, lane) = (ticket.stream, ticket.to)
        guard let handle = ticket.handle, let answer = ticket.answer, lane.arriving[handle.slot] === ticket else {
            return end(stream)
        }
        lane.arriving[handle.slot] = nil
        let news: Int
        do throws(TransferError) {
            news = try lane.session.adopt(handle, detached, answer)
        } catch {
            throw broken("stream \(stream.number) does not arrive: \(error)")
        }
        if stream.received > Int(answer.from) { coverage.duplicates += 1 }
        arrived(stream, handle, lane)
        try ticket.held.suffix(news).withUnsafeBytes { try received($0, stream) }
        if ticket.heldEnd, !stream.receiveFinished {
            coverage.endsHeld += 1
            try ended(stream)
        }
        coverage.taken += 1
        if stream.moves > 1 { coverage.movedTwice += 1 }
        try settle(stream)
    }

    private func arrived(_ stream: LaneStream, _ handle: StreamHandle, _ lane: LaneEnd) {
        stream.lane = lane
        stream.handle = handle
        stream.marked = false
        stream.moves += 1
        lane.streams[handle.slot] = stream
    }

    /// The stream ended on the lane that it was leaving.
    func cancelTransfer(of stream: LaneStream) {
        guard let ticket = stream.leaving else { return }
        stream.leaving = nil
        post(ticket.from, ticket.to) { [unowned self] in
            guard let handle = ticket.handle, ticket.to.arriving[handle.slot] === ticket else { return }
            ticket.to.arriving[handle.slot] = nil
            coverage.cancelled += 1
            ticket.to.session.reset(handle, .cancelled)
        }
    }

    /// The new lane ended, or the peer ended the stream there.
    func transferLost(_ ticket: LaneTicket) {
        coverage.lost += 1
        post(ticket.to, ticket.from) { [unowned self] in
            guard ticket.stream.leaving === ticket else { return }
            ticket.stream.leaving = nil
            ticket.from.session.reset(ticket.stream.handle, .cancelled)
            end(ticket.stream)
        }
    }

    /// The peer ended a stream that is on its way. False: it is not.
    func transferReset(_ handle: StreamHandle, _ lane: LaneEnd) throws -> Bool {
        if let ticket = lane.arriving[handle.slot], ticket.handle == handle {
            lane.arriving[handle.slot] = nil
            transferLost(ticket)
            return true
        }
        if let offer = lane.offered[handle.slot], offer.handle == handle {
            lane.offered[handle.slot] = nil
            return true
        }
        return false
    }

    // MARK: The acceptor

    func transferOffered(_ handle: StreamHandle, _ lane: LaneEnd) {
        guard let request = lane.session.lastTransfer else { return }
        let offer = LaneOffer(request: request, to: lane, handle: handle)
        lane.offered[handle.slot] = offer
        post(lane, Int(request.lane)) { [unowned self] in try give(offer) }
    }

    private func give(_ offer: LaneOffer) throws {
        let from = lanes[Int(offer.request.lane)]
        if from.session.name != offer.request.session { coverage.strangers += 1 }
        let given = from.isOver ? nil : from.session.give(offer.request)
        guard let given, let stream = from.streams.removeValue(forKey: given.stream.slot), stream.handle == given.stream
        else {
            return post(from, offer.to) {
                guard offer.to.offered[offer.handle.slot] === offer else { return }
                offer.to.offered[offer.handle.slot] = nil
                offer.to.session.refuse(offer.handle, .linkLost)
            }
        }
        stream.lane = nil
        post(from, offer.to) { [unowned self] in
            guard offer.to.offered[offer.handle.slot] === offer else { return end(stream) }
            offer.to.offered[offer.handle.slot] = nil
            do throws(TransferError) {
                _ = try offer.to.session.adopt(offer.handle, given.detached)
            } catch {
                throw broken("stream \(stream.number) is not taken: \(error)")
            }
            arrived(stream, offer.handle, offer.to)
            if offer.to.session.isParked { coverage.takenParked += 1 }
            try settle(stream)
        }
    }
}
