// The byte path outward: which stream is next, room for its bytes, and the way to the transport.

extension Session {
    /// The application has bytes for the stream (its socket is readable). The stream takes part in the round until
    /// `clearReadable` or its end.
    public func markReadable(_ stream: StreamHandle) {
        guard state == .open, let found = slab.find(stream), !found.pointee.sendFinished else { return }
        found.pointee.readable = true
        schedule(stream.slot)
    }

    /// The application has nothing more for now (read(2) said EAGAIN).
    public func clearReadable(_ stream: StreamHandle) {
        guard let found = slab.find(stream) else { return }
        found.pointee.readable = false
        ready.remove(stream.slot, slab)
    }

    /// The stream whose turn it is, which goes to the end of the round, and how much it should send: a full frame when it
    /// moves bulk or is alone, one TLS record when it is a sparse one and others wait. Nil when no stream has both something
    /// to send and credit, or when the retention limit is reached.
    public func nextReady() -> ReadyStream? {
        guard ready.count > 0, state == .open, outbox.acceptsData else { return nil }
        let alone = ready.count == 1
        let (slot, sparse) = ready.next(slab)
        let wanted = sparse && !alone ? configuration.sharedQuantum : configuration.bulkQuantum
        let quantum = min(wanted, maximumPayload)
        let stream = slab[slot]
        return ReadyStream(
            stream: StreamHandle(slot: slot, generation: stream.pointee.generation),
            quantum: Int(min(UInt64(quantum), stream.pointee.credit)))
    }

    /// Room for the stream's next bytes in the log itself, up to `atMost` and the stream's credit. Nil without credit, at
    /// the retention limit, and for a stream that can't send. Fill some of it and `commit`, or `commit` zero bytes; call
    /// nothing else of the session in between.
    public func sendRoom(_ stream: StreamHandle, atMost: Int) -> UnsafeMutableRawBufferPointer? {
        guard state == .open, let found = slab.find(stream), found.pointee.canSend else { return nil }
        let wanted = Int(min(UInt64(clamping: atMost), found.pointee.credit, UInt64(maximumPayload)))
        guard let room = outbox.reserve(wanted) else { return nil }
        roomFor = stream
        return room
    }

    /// Sends the first `count` bytes of the room last given; zero gives the room back. With `finish` the direction is
    /// complete with them.
    public func commit(_ stream: StreamHandle, _ count: Int, finish: Bool = false) {
        precondition(stream == roomFor, "commit without sendRoom")
        roomFor = StreamHandle(slot: .max, generation: 0)
        guard let found = slab.find(stream), count > 0 else {
            outbox.cancel()
            if finish { self.finish(stream) }
            return
        }
        outbox.commit(
            count,
            frame: LinkFrame(type: .data, flags: finish ? .finish : [], streamID: found.pointee.id))
        wrote(found)
        found.pointee.sendOffset += UInt64(count)
        self.count.dataOut += UInt64(count)
        found.pointee.isBulk = count >= configuration.sharedQuantum
        if found.pointee.isBulk { lastBulk = now }
        if finish {
            stopSending(stream.slot)
            freeIfComplete(stream.slot)
        } else if found.pointee.credit == 0 {
            ready.remove(stream.slot, slab)
        }
    }

    /// The newest frame of the log is DATA, or END, of the stream.
    func wrote(_ stream: UnsafeMutablePointer<Stream>) {
        if stream.pointee.endWritten <= outbox.acknowledged { stream.pointee.firstWritten = outbox.sequence - 1 }
        stream.pointee.endWritten = outbox.sequence
    }

    /// Lends the transport the next contiguous range of wire bytes, many frames long; `body` returns how many it took.
    /// Returns that number; zero when nothing waits. `body` must not call the session.
    public func withUnsent<E>(_ body: (UnsafeRawBufferPointer) throws(E) -> Int) throws(E) -> Int {
        // In two steps, so that no access to the log is open while the caller's code runs.
        guard let range = outbox.unsentRange() else { return 0 }
        let count = try body(range)
        outbox.sent(count)
        return count
    }

    /// Puts the stream into the round if it has something to send and may.
    func schedule(_ slot: UInt32) {
        let stream = slab[slot]
        if stream.pointee.readable, stream.pointee.credit > 0, stream.pointee.canSend { ready.insert(slot, slab) }
    }
}

extension Stream {
    /// Whether data may be sent, given credit: accepted (and ACCEPT written), or ours and not answered yet.
    var canSend: Bool {
        !sendFinished && (phase == .open || phase == .opening) && pending.isDisjoint(with: [.accept, .tail])
            && !marks.contains(.leaving)
    }

    /// Whether there is something to write that `Session.settle` writes; bytes of another lane, and an END behind them, are not.
    var awaitsRoom: Bool {
        pending.contains(.tail) ? !pending.subtracting([.tail, .end]).isEmpty : !pending.isEmpty
    }
}
