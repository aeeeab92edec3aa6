import Bytes
import FuzzSupport
import HTTP

/// The first byte says how the rest, a client's input, is cut; the second which three requests it answers. The events must
/// not depend on the cutting; an accepted head must encode, and read back as itself.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let start, count > 1 else { return 0 }
    let wire = UnsafeRawBufferPointer(start: start + 2, count: count - 2)
    let methods: [HTTPMethod] = [.get, .head, .post, .connect]
    let requests = (0..<3).map { methods[Int(start[1] >> (2 * $0)) & 3] }
    let offersUpgrade = start[1] & 0x80 != 0
    let whole = run(wire, step: wire.count, requests, offersUpgrade)
    require(whole == run(wire, step: 1, requests, offersUpgrade), "byte by byte differs from whole")
    require(whole == run(wire, step: 2 + Int(start[0]), requests, offersUpgrade), "in pieces differs from whole")
    var answered = 0
    for event in whole {
        guard case .head(let head) = event, answered < 3 else { continue }
        check(head, answering: requests[answered])
        answered += 1
    }
    return 0
}

private enum Seen: Equatable {
    case interim(HTTPResponseHead)
    case head(HTTPResponseHead)
    case body([UInt8])
    case trailers(HTTPHeaders)
    case end
    case switched
    case rest([UInt8])
    case error(HTTPError)
}

private func run(_ wire: UnsafeRawBufferPointer, step: Int, _ requests: [HTTPMethod], _ offersUpgrade: Bool) -> [Seen] {
    var parser = ResponseParser()
    for request in requests { parser.expect(request, offersUpgrade: offersUpgrade) }
    var queue = ByteQueue()
    var seen: [Seen] = []
    var offset = 0
    do {
        while offset < wire.count {
            let end = min(offset + max(step, 1), wire.count)
            queue.append(UnsafeRawBufferPointer(rebasing: wire[offset..<end]))
            offset = end
            while let event = try parser.next(&queue) {
                switch event {
                case .interim(let head): seen.append(.interim(head))
                case .head(let head): seen.append(.head(head))
                case .body(let available):
                    require(available > 0 && available <= queue.count, "content that is not there")
                    let taken = queue.withReadable { Array($0.prefix(available)) }
                    if case .body(let before)? = seen.last {
                        seen[seen.count - 1] = .body(before + taken)
                    } else {
                        seen.append(.body(taken))
                    }
                    parser.take(available, from: &queue)
                case .trailers(let trailers): seen.append(.trailers(trailers))
                case .end: seen.append(.end)
                case .switched: seen.append(.switched)
                }
            }
        }
        if try parser.inputEnded(queue) == .end { seen.append(.end) }
        seen.append(.rest(queue.copyBytes()))
    } catch {
        seen.append(.error(error))
    }
    return seen
}

private func check(_ head: HTTPResponseHead, answering method: HTTPMethod) {
    var queue = ByteQueue()
    var head = head
    if head.framing == .untilClose, !head.headers.has("close", in: "Connection") {
        head.headers.append("Connection", "close")
    }
    do {
        try HTTPEncoder.encode(head, answering: method, into: &queue)
        var limits = HTTPLimits()
        limits.startLine *= 2
        limits.fieldLine *= 2
        limits.head *= 2
        limits.fieldCount += 1
        var parser = ResponseParser(limits: limits)
        parser.expect(method, offersUpgrade: true)
        let read = try parser.next(&queue)
        guard case .head(var again)? = read else { fatalError("a head reads back as \(String(describing: read))") }
        // Bytes of the reason that are not UTF-8 were replaced when it was read first.
        again.reason = head.reason
        require(again == head, "a head does not read back as itself")
        require(queue.isEmpty, "a head's encoding has more than the head")
    } catch {
        fatalError("an accepted head is refused: \(error)")
    }
}
