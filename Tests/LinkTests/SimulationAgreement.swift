import Link

/// What two ends must agree about when everything has come to rest.
enum SimulationAgreement {
    /// Both ends tell the same story of every stream.
    static func check(_ a: SimulatedNode, _ b: SimulatedNode) throws {
        for (id, mine) in a.all {
            guard let theirs = b.all[id] else {
                try expect(mine.openedHere && mine.ended, "only A knows stream \(id)")
                continue
            }
            try compare(mine, theirs)
            try compare(theirs, mine)
        }
        for (id, stream) in b.all where a.all[id] == nil {
            try expect(stream.openedHere && stream.ended, "only B knows stream \(id)")
        }
    }

    private static func compare(_ from: SimulatedStream, _ to: SimulatedStream) throws {
        try expect(to.received <= from.sent, "stream \(from.id) received more than was sent")
        if from.ended {
            // An end that had done everything forgot the stream before the reset came, and needs none.
            let unaware = to.sendFinished && to.receiveFinished && to.unread == 0 && to.received == from.sent
            try expect(to.ended || unaware, "stream \(from.id): one end reset it, the other does not know")
            return
        }
        if to.ended { return }
        try expect(from.sendFinished && to.receiveFinished, "stream \(from.id) has no end")
        try expect(to.received == from.sent, "stream \(from.id) lost \(from.sent - to.received) bytes")
    }

    /// Nothing is left at an end: not retained after its acknowledgement, not reserved, not scheduled.
    static func checkEmpty(_ node: SimulatedNode) throws {
        try expect(node.session.retainedBytes == 0, "\(node.name) retains \(node.session.retainedBytes)")
        try expect(node.session.unacknowledgedFrames == 0, "\(node.name) has frames unacknowledged")
        try expect(node.session.streamCount == 0, "\(node.name) has \(node.session.streamCount) streams")
        try expect(node.session.readyStreams == 0, "\(node.name) has streams ready")
        try expect(node.pool.segmentsInUse == 0, "\(node.name) holds \(node.pool.segmentsInUse) segments")
        try expect(node.budget.used == 0, "\(node.name) budget \(node.budget.used)")
        let sent = node.all.values.reduce(UInt64(0)) { $0 + UInt64($1.sent) }
        try expect(node.session.counters.dataOut == sent, "\(node.name) counts \(node.session.counters.dataOut)")
    }

    static func expect(_ condition: Bool, _ text: @autoclosure () -> String) throws {
        guard condition else { throw Broken(description: text()) }
    }
}
