import Bytes
import HTTP
import SeededRandom

/// How bytes arrive and how content is taken.
enum Delivery: CustomStringConvertible {
    case whole
    case byteByByte
    case random(seed: UInt64)

    var description: String {
        switch self {
        case .whole: "whole"
        case .byteByByte: "byte by byte"
        case .random(let seed): "random(\(seed))"
        }
    }

    static var all: [Delivery] { [.whole, .byteByByte] + (1...4).map { .random(seed: $0) } }

    func pieces(_ bytes: [UInt8]) -> [ArraySlice<UInt8>] {
        switch self {
        case .whole: return [bytes[...]]
        case .byteByByte: return bytes.indices.map { bytes[$0...$0] }
        case .random(let seed):
            var random = SeededRandom(seed)
            var pieces: [ArraySlice<UInt8>] = []
            var rest = bytes[...]
            while !rest.isEmpty {
                let piece = rest.prefix(Int.random(in: 1...17, using: &random))
                pieces.append(piece)
                rest = rest.dropFirst(piece.count)
            }
            return pieces
        }
    }
}

/// What came out of a parser, with neighbouring content joined.
enum Seen: Equatable {
    case request(HTTPRequestHead)
    case response(HTTPResponseHead)
    case interim(HTTPResponseHead)
    case body([UInt8])
    case trailers(HTTPHeaders)
    case end
    case switched([UInt8])
    case error(HTTPError)
}

extension [Seen] {
    mutating func appendBody(_ bytes: [UInt8]) {
        if case .body(let before)? = last { self[count - 1] = .body(before + bytes) } else { append(.body(bytes)) }
    }

    var errors: [HTTPError] { compactMap { if case .error(let error) = $0 { error } else { nil } } }
    var requests: [HTTPRequestHead] { compactMap { if case .request(let head) = $0 { head } else { nil } } }
    var responses: [HTTPResponseHead] { compactMap { if case .response(let head) = $0 { head } else { nil } } }
    var body: [UInt8] { flatMap { if case .body(let bytes) = $0 { bytes } else { [UInt8]() } } }
}

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

/// Everything a server's parser says to those bytes; the connection ends behind them.
func parseRequests(
    _ wire: [UInt8], _ delivery: Delivery = .whole, limits: HTTPLimits = HTTPLimits(), atEnd: Bool = true
) -> [Seen] {
    var parser = RequestParser(limits: limits)
    var queue = ByteQueue()
    var seen: [Seen] = []
    do {
        for piece in delivery.pieces(wire) {
            queue.append(piece)
            while let event = try parser.next(&queue) {
                switch event {
                case .head(let head): seen.append(.request(head))
                case .body(let count):
                    // Half of it: taking less than offered must lose nothing.
                    let count = (count + 1) / 2
                    seen.appendBody(queue.withReadable { Array($0.prefix(count)) })
                    parser.take(count, from: &queue)
                case .trailers(let trailers): seen.append(.trailers(trailers))
                case .end:
                    seen.append(.end)
                    parser.proceed()
                }
            }
        }
        if atEnd { try parser.inputEnded(queue) }
    } catch {
        seen.append(.error(error))
    }
    return seen
}

/// Everything a client's parser says to those bytes.
func parseResponses(
    _ wire: [UInt8], to requests: [(HTTPMethod, Bool)] = [(.get, false)], _ delivery: Delivery = .whole,
    limits: HTTPLimits = HTTPLimits()
) -> [Seen] {
    var parser = ResponseParser(limits: limits)
    for request in requests { parser.expect(request.0, offersUpgrade: request.1) }
    var queue = ByteQueue()
    var seen: [Seen] = []
    do {
        for piece in delivery.pieces(wire) {
            queue.append(piece)
            while let event = try parser.next(&queue) {
                switch event {
                case .head(let head): seen.append(.response(head))
                case .interim(let head): seen.append(.interim(head))
                case .body(let count):
                    seen.appendBody(queue.withReadable { Array($0.prefix(count)) })
                    parser.take(count, from: &queue)
                case .trailers(let trailers): seen.append(.trailers(trailers))
                case .end: seen.append(.end)
                case .switched: break
                }
            }
        }
        if parser.isFinished {
            if !queue.isEmpty || parser.outstanding == 0 && seen.last != .end {
                seen.append(.switched(queue.copyBytes()))
            }
        } else if try parser.inputEnded(queue) == .end {
            seen.append(.end)
        }
    } catch {
        seen.append(.error(error))
    }
    return seen
}
