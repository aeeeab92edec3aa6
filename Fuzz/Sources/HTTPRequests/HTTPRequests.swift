import Bytes
import FuzzSupport
import HTTP

/// The first byte says how the rest, a server's input, is cut into pieces. The events must not depend on that; an accepted
/// head must encode, and read back as itself.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let start, count > 0 else { return 0 }
    let wire = UnsafeRawBufferPointer(start: start + 1, count: count - 1)
    var limits = HTTPLimits()
    if start[0] & 1 == 1 {
        // Limits that short inputs reach.
        limits.startLine = 40
        limits.fieldLine = 40
        limits.fieldCount = 4
        limits.head = 120
        limits.body = 20
        limits.chunkLine = 12
        limits.chunkExtensions = 16
        limits.trailers = 40
        limits.trailerCount = 2
    }
    let whole = run(wire, step: wire.count, limits)
    require(whole == run(wire, step: 1, limits), "byte by byte differs from whole")
    require(whole == run(wire, step: 2 + Int(start[0] >> 1), limits), "in pieces differs from whole")
    for case .head(let head) in whole { check(head) }
    return 0
}

private enum Seen: Equatable {
    case head(HTTPRequestHead)
    case body([UInt8])
    case trailers(HTTPHeaders)
    case end
    case error(HTTPError)
}

private func run(_ wire: UnsafeRawBufferPointer, step: Int, _ limits: HTTPLimits) -> [Seen] {
    var parser = RequestParser(limits: limits)
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
                case .end:
                    seen.append(.end)
                    parser.proceed()
                }
            }
        }
        try parser.inputEnded(queue)
    } catch {
        seen.append(.error(error))
    }
    return seen
}

private func check(_ head: HTTPRequestHead) {
    var queue = ByteQueue()
    do {
        try HTTPEncoder.encode(head, into: &queue)
        var limits = HTTPLimits()
        // Encoding may add a few bytes: ": " for ":", and the length written out.
        limits.startLine *= 2
        limits.fieldLine *= 2
        limits.head *= 2
        var parser = RequestParser(limits: limits)
        var expected = head
        let writesLength = [HTTPMethod.post, .put, .patch].contains(head.method)
        if head.framing == .none, writesLength { expected.framing = .length(0) }
        let again = try parser.next(&queue)
        require(again == .head(expected), "a head does not read back as itself")
        require(queue.isEmpty, "a head's encoding has more than the head")
    } catch {
        fatalError("an accepted head is refused: \(error)")
    }
    _ = head.authority
    _ = head.upgrade
    _ = head.expectsContinue
    if head.version == .http11 { require(head.authority != nil, "a request without authority was accepted") }
}
