/// The patterns of a router, segment by segment. Routes are numbered in the order they came.
struct RouteTree: Sendable {
    private struct Node {
        /// Indices of nodes.
        var literals: [String: Int] = [:]
        var parameter: Int?
        /// Numbers of routes.
        var routes: [HTTPMethod: Int] = [:]
        var rest: [HTTPMethod: Int] = [:]
    }

    private var nodes = [Node()]
    /// The parameters' names of each route; they belong to the route, not to the node.
    private var names: [[String]] = []

    /// Adds a route with the next number; false where it is there already.
    mutating func insert(_ pattern: [RoutePattern], _ method: HTTPMethod, _ names: [String]) -> Bool {
        var node = 0
        for segment in pattern {
            let next: Int?
            switch segment {
            case .literal(let text): next = nodes[node].literals[text]
            case .parameter: next = nodes[node].parameter
            case .rest:
                guard nodes[node].rest[method] == nil else { return false }
                nodes[node].rest[method] = self.names.count
                self.names.append(names)
                return true
            }
            let child = next ?? nodes.count
            if next == nil { nodes.append(Node()) }
            switch segment {
            case .literal(let text): nodes[node].literals[text] = child
            case .parameter: nodes[node].parameter = child
            case .rest: break
            }
            node = child
        }
        guard nodes[node].routes[method] == nil else { return false }
        nodes[node].routes[method] = self.names.count
        self.names.append(names)
        return true
    }

    /// The route for that method and path. Goes back where a literal led nowhere; no deeper than the longest pattern.
    func find(_ method: HTTPMethod, _ segments: [String]) -> (route: Int, parameters: RouteParameters)? {
        var values: [String] = []
        guard let route = find(method, segments, 0, in: 0, &values) else { return nil }
        return (route, RouteParameters(names: names[route], values: values))
    }

    private func find(
        _ method: HTTPMethod, _ segments: [String], _ index: Int, in node: Int, _ values: inout [String]
    ) -> Int? {
        if index == segments.count { return nodes[node].routes[method] }
        if let next = nodes[node].literals[segments[index]],
            let found = find(method, segments, index + 1, in: next, &values)
        {
            return found
        }
        if !segments[index].isEmpty, let next = nodes[node].parameter {
            values.append(segments[index])
            if let found = find(method, segments, index + 1, in: next, &values) { return found }
            values.removeLast()
        }
        guard let found = nodes[node].rest[method] else { return nil }
        values.append(segments[index...].joined(separator: "/"))
        return found
    }

    /// The methods that the path has routes for.
    func methods(_ segments: [String]) -> Set<HTTPMethod> {
        var methods: Set<HTTPMethod> = []
        collect(segments, 0, in: 0, &methods)
        return methods
    }

    private func collect(_ segments: [String], _ index: Int, in node: Int, _ methods: inout Set<HTTPMethod>) {
        if index == segments.count {
            methods.formUnion(nodes[node].routes.keys)
            return
        }
        if let next = nodes[node].literals[segments[index]] { collect(segments, index + 1, in: next, &methods) }
        if !segments[index].isEmpty, let next = nodes[node].parameter {
            collect(segments, index + 1, in: next, &methods)
        }
        methods.formUnion(nodes[node].rest.keys)
    }
}
