import FuzzSupport
import Gateway
import WebSocket

/// The first byte says how the rest, a client's bytes behind the handshake, is cut. What passes must be the input without
/// the messages for the edge, whatever the cuts; and a place where the tracker allows a frame must be between two frames.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let start, count > 1 else { return 0 }
    let wire = [UInt8](UnsafeRawBufferPointer(start: start + 1, count: count - 1))
    for phase in [InBandAuth.Phase.passing, .first] {
        let whole = run(wire, phase, step: wire.count)
        require(run(wire, phase, step: 1) == whole, "byte by byte differs from whole")
        require(run(wire, phase, step: 2 + Int(start[0] & 63)) == whole, "in pieces differs from whole")
    }
    checkTracker(wire, step: 1 + Int(start[0] & 63))
    return 0
}

private struct Seen: Equatable {
    var passed: [UInt8] = []
    var steps: [InBandAuth.Step] = []
}

private func run(_ wire: [UInt8], _ phase: InBandAuth.Phase, step: Int) -> Seen {
    var auth = InBandAuth(phase)
    var seen = Seen()
    var waiting: [UInt8] = []
    var taken = 0
    for start in stride(from: 0, to: wire.count, by: step) {
        waiting += wire[start..<min(start + step, wire.count)]
        loop: while true {
            let next = waiting.withUnsafeBytes { auth.next($0) }
            let consumed: Int
            switch next {
            case .needMore: break loop
            case .pass(let count):
                require(auth.phase == .passing, "something passed before it was accepted")
                require(count > 0 && count <= waiting.count, "an impossible count")
                seen.passed += waiting[..<count]
                consumed = count
            case .credential(_, let count):
                seen.steps.append(next)
                consumed = count
                auth.accepted()
            case .malformed(_, let count), .ping(_, let count), .pong(let count):
                seen.steps.append(next)
                consumed = count
            case .closed, .failed:
                seen.steps.append(next)
                return seen
            }
            require(consumed > 0 && consumed <= waiting.count, "an impossible count")
            waiting.removeFirst(consumed)
            taken += consumed
        }
        require(waiting.count <= InBandAuth.maximumMessage + FrameHeader.maximumSize, "too much is held back")
    }
    return seen
}

/// The boundaries against a reader that knows nothing of pieces.
private func checkTracker(_ wire: [UInt8], step: Int) {
    var boundaries: Set<Int> = [0]
    var offset = 0
    var end: Int?
    while offset < wire.count, end == nil {
        switch wire[offset...].withUnsafeBytes({ FrameHeader.parse($0) }) {
        case .incomplete: end = wire.count
        case .invalid: end = offset
        case .complete(let header, let size):
            let (next, overflow) = (offset + size).addingReportingOverflow(header.payloadLength)
            if overflow || next > wire.count {
                end = wire.count
            } else if header.opcode == .close {
                end = next
            } else {
                offset = next
                boundaries.insert(next)
            }
        }
    }
    var tracker = FrameTracker()
    var at = 0
    while at < wire.count {
        let piece = wire[at..<min(at + step, wire.count)]
        require(piece.withUnsafeBytes { tracker.track($0) } == piece.count, "it must follow everything")
        at += piece.count
        if tracker.canInsertControl { require(boundaries.contains(at), "a frame would go into another one") }
        if boundaries.contains(at), at < (end ?? .max) { require(tracker.canInsertControl, "a boundary was missed") }
    }
    var stopping = FrameTracker()
    let first = wire.withUnsafeBytes { stopping.track($0, until: .frameBoundary) }
    require(first == 0, "the beginning is a boundary")
}
