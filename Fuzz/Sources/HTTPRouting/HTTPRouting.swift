import FuzzSupport
import HTTP

/// The input is a path, a query, an authority and a target at once.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let text = String(decoding: UnsafeRawBufferPointer(start: start, count: count), as: UTF8.self)
    if let path = try? HTTPPath(decoding: text) {
        let again = "/" + path.segments.map(PercentEncoding.encode).joined(separator: "/")
        require((try? HTTPPath(decoding: again)) == path, "a path does not read back as itself")
        for segment in path.segments {
            require(segment != "." && segment != ".." && !segment.contains("/"), "a segment that leads elsewhere")
            require(segment.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }, "a control character in a path")
        }
    }
    if let query = try? HTTPQuery(decoding: text) {
        let pairs = query.parameters.map { ($0.name, $0.value) }
        require((try? HTTPQuery(decoding: HTTPQuery.encode(pairs))) == query, "a query does not read back as itself")
    }
    if let authority = try? HTTPAuthority(parsing: text) {
        require(authority.description.utf8.count <= text.utf8.count, "an authority grew")
        require((try? HTTPAuthority(parsing: authority.description)) == authority, "an authority does not read back")
    }
    for method in [HTTPMethod.get, .options, .connect] {
        guard let target = try? HTTPTarget(parsing: text, method: method) else { continue }
        require((try? HTTPTarget(parsing: target.description, method: method)) == target, "a target does not read back")
    }
    var headers = HTTPHeaders()
    headers.append("X", text)
    _ = headers.list("X")
    if case .found(_, let parameters) = router.match(.get, text) {
        if let rest = parameters["rest"] { require(!rest.hasPrefix("/") || text.contains("//"), "a rest with a slash") }
    }
    return 0
}

private let router: Router<Int> = {
    var router = Router<Int>()
    do {
        for (index, pattern) in ["/", "/a", "/{x}", "/a/{x}", "/{x}/b", "/a/{x}/c", "/f/{rest...}"].enumerated() {
            try router.add(.get, pattern, index)
        }
    } catch {
        fatalError("\(error)")
    }
    return router
}()
