import Foundation
import Testing

/// Agents whose host has a wrong clock: a library that is loaded before all others shifts the time of day.
enum ShiftedClock {
    private static let source = """
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <stdlib.h>
        #include <sys/time.h>
        #include <time.h>

        static time_t shift(void) {
            const char *text = getenv("TEST_CLOCK_SHIFT");
            return text ? atoll(text) : 0;
        }

        int clock_gettime(clockid_t clock, struct timespec *result) {
            static int (*real)(clockid_t, struct timespec *);
            if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
            int status = real(clock, result);
            if (status == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) result->tv_sec += shift();
            return status;
        }

        int gettimeofday(struct timeval *result, void *zone) {
            struct timespec now;
            (void)zone;
            clock_gettime(CLOCK_REALTIME, &now);
            result->tv_sec = now.tv_sec;
            result->tv_usec = now.tv_nsec / 1000;
            return 0;
        }

        time_t time(time_t *result) {
            struct timespec now;
            clock_gettime(CLOCK_REALTIME, &now);
            if (result) *result = now.tv_sec;
            return now.tv_sec;
        }
        """

    /// Whether there is a compiler, and no sanitizer that has to be loaded first.
    static var isPossible: Bool {
        Deadline.slowness == 1 && (try? runProgram(["cc", "--version"]).status) == 0
    }

    /// The environment of a program whose clock is so many seconds ahead, negative: behind.
    static func environment(_ mesh: TestMesh, ahead seconds: Int64) throws -> [String: String] {
        let library = mesh.directory + "/clock.so"
        if !FileManager.default.fileExists(atPath: library) {
            try source.write(toFile: mesh.directory + "/clock.c", atomically: true, encoding: .utf8)
            let made = try runProgram([
                "cc", "-shared", "-fPIC", "-O1", "-o", library, mesh.directory + "/clock.c", "-ldl",
            ])
            try demandEqual(made.status, 0, made.output)
        }
        return ["LD_PRELOAD": library, "TEST_CLOCK_SHIFT": "\(seconds)"]
    }
}
