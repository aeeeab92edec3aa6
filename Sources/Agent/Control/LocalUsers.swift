import Dispatch
import EventLoop
import JSON

/// Looks up the host's users, on threads of their own since a name service may take its time, and remembers names.
@ControlPlane
final class LocalUsers {
    /// How long a name counts, in nanoseconds: users are hardly ever renamed, and each request at the control socket asks.
    private static let lifetime = 60 * Clock.second
    /// How long a failure counts, in nanoseconds: what asks again and again does not hold up others.
    private static let failureLifetime = 5 * Clock.second
    /// The most names that are remembered.
    private static let maximum = 4_096
    /// How many questions are asked at once. One that a name service does not answer keeps only its own thread.
    private static let threadLimit = 4

    private typealias Answer = Result<String?, UserLookupError>

    private let log: Log
    private let queue = DispatchQueue(label: "users", attributes: .concurrent)
    private var known: [UInt32: (answer: Answer, until: UInt64)] = [:]
    private var waiting: [UInt32: [CheckedContinuation<Answer, Never>]] = [:]
    private var questions: [@Sendable () -> Void] = []
    private var running = 0

    init(log: Log) {
        self.log = log
    }

    /// The user with the name that he has now.
    func named(_ user: LocalUser) async throws(UserLookupError) -> LocalUser {
        var user = user
        user.name = try await answer(user.uid).get()
        return user
    }

    /// A user who is not here: with the name and the groups that the host's lists give him.
    func user(_ uid: UInt32) async throws(UserLookupError) -> LocalUser {
        let found: Result<LocalUser, UserLookupError> = await withCheckedContinuation { continuation in
            ask {
                do throws(UserLookupError) {
                    let entry = try UserDatabase.entry(of: uid)
                    let gids = entry.map(UserDatabase.groups) ?? []
                    continuation.resume(returning: .success(LocalUser(uid: uid, name: entry?.name, gids: gids)))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try found.get()
    }

    private func answer(_ uid: UInt32) async -> Answer {
        if let entry = known[uid], entry.until > Clock.monotonicNanoseconds() { return entry.answer }
        return await withCheckedContinuation { continuation in
            waiting[uid, default: []].append(continuation)
            guard waiting[uid]?.count == 1 else { return }
            ask {
                let answer: Answer
                do throws(UserLookupError) {
                    answer = .success(try UserDatabase.entry(of: uid)?.name)
                } catch {
                    answer = .failure(error)
                }
                ControlPlane.post { self.remember(answer, of: uid) }
            }
        }
    }

    private func remember(_ answer: Answer, of uid: UInt32) {
        var lifetime = Self.lifetime
        if case .failure(let error) = answer {
            lifetime = Self.failureLifetime
            log.warning(
                "user_lookup_failed", "the name of a local user could not be looked up; his requests are refused",
                [("uid", .integer(Int64(uid))), ("detail", .string(SystemError.text(error.errno)))])
        }
        if known.count >= Self.maximum { known.removeAll() }
        known[uid] = (answer, Clock.monotonicNanoseconds() + lifetime)
        for continuation in waiting.removeValue(forKey: uid) ?? [] { continuation.resume(returning: answer) }
    }

    /// Runs a question on a thread; the next ones wait where all are taken.
    private func ask(_ question: @escaping @Sendable () -> Void) {
        guard running < Self.threadLimit else { return questions.append(question) }
        running += 1
        queue.async {
            question()
            ControlPlane.post { self.answered() }
        }
    }

    private func answered() {
        running -= 1
        if !questions.isEmpty { ask(questions.removeFirst()) }
    }
}
