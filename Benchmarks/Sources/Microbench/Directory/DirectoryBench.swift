import Directory
import Dispatch
import Glibc
import JSON
import Policy

/// A whole directory in process, as the agent runs it: requests on one thread, the file on another.
final class DirectoryBench {
    /// The directory.
    var service: DirectoryService
    /// Transactions that were synced.
    private(set) var commits = 0
    private let store: DirectoryStore
    private let disk = DispatchQueue(label: "disk")
    private let done = DispatchSemaphore(value: 0)
    private let result = ResultBox()
    private var isCommitting = false
    private let policy: PolicyDocument

    /// What came of the batch under way; written by the disk's thread before it signals.
    private final class ResultBox: @unchecked Sendable {
        var value: Result<Void, StoreError> = .success(())
    }

    /// An empty directory in a new file of `folder`, with `nodes` registered.
    init(folder: String, nodes: Int, servicesPerNode: Int) throws {
        policy = try PolicyDocument.parse(
            #"{"rules":[{"allow":["register"],"from":["node:**"],"to":["service-*"]},"#
                + #"{"allow":["connect"],"from":["node:**"],"to":["mesh.directory"]},"#
                + #"{"allow":["discover"],"from":["node:**"],"to":["**"]}]}"#, file: "policy.json")
        store = try DirectoryStore(path: folder + "/directory.db")
        service = DirectoryService(
            restored: try store.restore(), policy: policy, trustDomain: "bench.mesh", now: Self.now)
        var waiting = 0
        for number in 0..<nodes {
            try request(Request(node: number, services: servicesPerNode, turn: 0, policy: policy))
            waiting += 1
            if waiting == 1_000 || number == nodes - 1 {
                while waiting > 0 { waiting -= try turn() }
            }
        }
    }

    /// What one node sends, prepared: the directory's part begins with the bytes.
    struct Request {
        let path: [String]
        let body: [UInt8]
        let principal: Principal

        /// The registration of a node; `turn` makes it another one than before.
        init(node: Int, services: Int, turn: Int, policy: PolicyDocument) {
            let name = "node-\(node)"
            path = ["nodes", name]
            let instances = (0..<services).map { number in
                #"{"service":"service-\#(node * services + number)","protocol":"http","tags":["blue"],"weight":100,"#
                    + #""metadata":{"turn":"\#(turn)"},"health":"passing"}"#
            }
            body = Array(
                (#"{"node":"\#(name)","bootId":"0123456789abcdef0123456789abcdef","#
                    + #""addresses":["10.0.\#(node / 250 % 250).\#(node % 250):7400"],"metadata":{},"services":["#
                    + instances.joined(separator: ",") + "]}").utf8)
            principal = policy.principal(for: .node(commonName: name, spiffe: "spiffe://bench.mesh/node/\(name)"))
        }
    }

    /// The request of a node.
    func request(node: Int, services: Int, turn: Int) -> Request {
        Request(node: node, services: services, turn: turn, policy: policy)
    }

    /// Takes in a request; the next ``turn()`` has it.
    func request(_ request: Request) throws {
        let operation = try DirectoryOperation(method: "PUT", path: request.path, body: request.body)
        guard case .pending = service.perform(operation, by: request.principal) else {
            Output.fail("the registration of \(request.path[1]) was not accepted")
        }
    }

    /// Takes what is pending to the disk, unless it is busy, and waits for it; the number of answers.
    func turn() throws -> Int {
        var answers = try step()
        guard isCommitting else { return answers }
        done.wait()
        isCommitting = false
        commits += 1
        answers += try check(service.finish(result.value, at: Self.now))
        return answers + (try step())
    }

    private func step() throws -> Int {
        guard !isCommitting else { return 0 }
        var answers = 0
        while true {
            switch service.step(at: Self.now) {
            case .idle: return answers
            case .reply(let replies): answers += try check(replies)
            case .commit(let batch):
                isCommitting = true
                disk.async { [store, result, done] in
                    do throws(StoreError) {
                        try store.commit(batch)
                        result.value = .success(())
                    } catch {
                        result.value = .failure(error)
                    }
                    done.signal()
                }
                return answers
            }
        }
    }

    /// Every answer has to be a success.
    private func check(_ replies: [(ticket: StoreWriter.Ticket, reply: DirectoryService.Reply)]) throws -> Int {
        for (_, reply) in replies {
            guard case .success(let body) = reply else { Output.fail("the directory refused: \(reply)") }
            require(body["refused"] == nil, "a service was refused: \(body.text())")
        }
        return replies.count
    }

    private static var now: DirectoryTime {
        DirectoryTime(monotonic: Int64(Clock.wall / 1_000_000), unix: 1_700_000_000_000)
    }

    /// A new folder for the file.
    static func folder(in place: String = ".") -> String {
        var name = Array("\(place)/.microbench-XXXXXX".utf8CString)
        guard mkdtemp(&name) != nil else { Output.fail("no folder for the directory's file can be made in \(place)") }
        return String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Removes the folder with what the store left there.
    static func remove(_ folder: String) {
        for name in ["directory.db", "directory.db-wal", "directory.db-shm", "directory.db-lock"] {
            unlink(folder + "/" + name)
        }
        rmdir(folder)
    }
}
