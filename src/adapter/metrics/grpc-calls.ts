/** Counts the calls of gRPC services from outside: a server to add services to, which wraps their handlers. */
import grpc from '@grpc/grpc-js';
import { BucketCounts, type Clock } from '../../platform/index.ts';

/** One method, by its path without the leading slash, such as `kvorum.v1.Admin/Status`. */
export interface MethodCounters {
  /** Ended calls by the name of their status code. */
  readonly ended: Map<string, number>;
  /** From the call to its end, milliseconds; streams live long. */
  readonly latencyMs: BucketCounts;
}

/** Counters by method. */
export class GrpcCounters {
  /** Methods that were called. */
  readonly methods = new Map<string, MethodCounters>();

  /** Books the end of a call. */
  ended(method: string, code: string, tookMs: number): void {
    let counters = this.methods.get(method);
    if (counters === undefined) {
      counters = { ended: new Map(), latencyMs: new BucketCounts() };
      this.methods.set(method, counters);
    }
    counters.ended.set(code, (counters.ended.get(code) ?? 0) + 1);
    counters.latencyMs.observe(tookMs);
  }
}

type ServiceServer = Pick<grpc.Server, 'addService'>;

/**
 * The same server for adding services to; calls of what is added through it are booked.
 * @param counters where to
 */
export function countingServer(server: ServiceServer, counters: GrpcCounters, clock: Clock): ServiceServer {
  return {
    addService(definition, handlers) {
      const counted: grpc.UntypedServiceImplementation = {};
      for (const [name, handler] of Object.entries(handlers)) {
        const method = definition[name];
        counted[name] =
          method === undefined || method.requestStream
            ? handler
            : countedHandler(handler, method.path.slice(1), method.responseStream, counters, clock);
      }
      server.addService(definition, counted);
    },
  };
}

function countedHandler(
  handler: grpc.UntypedHandleCall,
  method: string,
  isStream: boolean,
  counters: GrpcCounters,
  clock: Clock,
): grpc.UntypedHandleCall {
  if (isStream) {
    const stream = handler as grpc.handleServerStreamingCall<unknown, unknown>;
    const counted: typeof stream = (call) => {
      const startMs = clock.monotonicMs();
      let code = 'OK';
      let isEnded = false;
      const end = (): void => {
        if (isEnded) return;
        isEnded = true;
        counters.ended(method, code, clock.monotonicMs() - startMs);
      };
      call.on('error', (error: Error & { readonly code?: grpc.status }) => {
        code = nameOf(error.code);
        end();
      });
      call.on('cancelled', () => {
        code = 'CANCELLED';
        end();
      });
      call.on('finish', end);
      call.on('close', end);
      stream(call);
    };
    return counted;
  }
  const unary = handler as grpc.handleUnaryCall<unknown, unknown>;
  const counted: typeof unary = (call, answer) => {
    const startMs = clock.monotonicMs();
    unary(call, (error, ...rest) => {
      const code = error === null || error === undefined ? 'OK' : nameOf(error.code ?? undefined);
      counters.ended(method, code, clock.monotonicMs() - startMs);
      answer(error, ...rest);
    });
  };
  return counted;
}

const nameOf = (code: grpc.status | undefined): string =>
  code === undefined ? 'UNKNOWN' : (grpc.status[code] ?? 'UNKNOWN');
