import Glibc

/// Where a path really leads.
enum SymbolicLinks {
    /// Symlinks that are followed on one path, as the kernel does (path_resolution(7)).
    private static let maximumLinks = 40

    /// The directories in which something changes when the file at `path` becomes another one: its own, and those of every
    /// symlink on the way.
    static func directories(on path: String) -> [String] {
        var found: [String] = []
        var rest = path.split(separator: "/").map(String.init)
        var place = path.hasPrefix("/") ? "" : "."
        var links = 0
        while !rest.isEmpty {
            let name = rest.removeFirst()
            let here = "\(place)/\(name)"
            if let target = target(of: here), links < maximumLinks {
                links += 1
                found.append(place.isEmpty ? "/" : place)
                if target.hasPrefix("/") { place = "" }
                rest = target.split(separator: "/").map(String.init) + rest
            } else if rest.isEmpty {
                found.append(place.isEmpty ? "/" : place)
            } else {
                place = here
            }
        }
        return found
    }

    private static func target(of path: String) -> String? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink(path, &buffer, buffer.count)
        guard count > 0 else { return nil }
        return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
