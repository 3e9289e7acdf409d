/**
 * Stands in front of every service of the gRPC port: says who calls, lets in whoever has the least role of the call, and writes
 * down what operators change. A service that is not in the table cannot be added.
 */
import type grpc from '@grpc/grpc-js';
import { assert, type Clock, KvorumError } from '../../../platform/index.ts';
import { type AccessPolicy, type AccessRole, type Caller, namesOfCaller } from '../../../security/index.ts';
import { tokenOfCall } from '../../../token-header.ts';
import { CODE_KEY, statusOf } from '../errors.ts';
import type { AuditTrail } from './audit.ts';
import { LEAST_ROLES } from './least-roles.ts';

type ServiceServer = Pick<grpc.Server, 'addService'>;
/** What handlers of one answer and of many have in common. */
type Call = grpc.ServerUnaryCall<object, object> | grpc.ServerWritableStream<object, object>;

/** Describes the other services, and tells no more than the proto file does. */
const OPEN_SERVICE = /^grpc\.reflection\./;

export interface GuardOptions {
  readonly policy: AccessPolicy;
  readonly audit: AuditTrail;
  readonly clock: Pick<Clock, 'monotonicMs'>;
}

/** A call that the guard looks at. */
interface GuardedCall {
  readonly name: string;
  readonly role: AccessRole;
}

/** The same server for adding services to, with the guard in front of what is added through it. */
export function guardedServer(server: ServiceServer, options: GuardOptions): ServiceServer {
  return {
    addService(definition, handlers) {
      const guarded: grpc.UntypedServiceImplementation = {};
      for (const [name, handler] of Object.entries(handlers)) {
        const method = definition[name];
        const [service = '', methodName = ''] = method?.path.slice(1).split('/') ?? [];
        if (method === undefined || OPEN_SERVICE.test(service)) {
          guarded[name] = handler;
          continue;
        }
        const role = LEAST_ROLES[service]?.[methodName];
        assert(role !== undefined && !method.requestStream, `${method.path} has a least role, and one request`);
        const call = { name: methodName, role };
        guarded[name] = method.responseStream
          ? guardedStream(handler as grpc.handleServerStreamingCall<object, object>, call, options)
          : guardedUnary(handler as grpc.handleUnaryCall<object, object>, call, options);
      }
      server.addService(definition, guarded);
    },
  };
}

/** Once a call has ended: `OK`, or the code of its error. */
type Ended = (result: string) => void;

const isAudited = ({ role }: GuardedCall): boolean => role === 'operate' || role === 'admin';

/** @throws AccessError, which is in the audit trail then @returns to be told how the call ended */
function admit(call: Call, guarded: GuardedCall, { policy, audit, clock }: GuardOptions): Ended {
  const startMs = clock.monotonicMs();
  let caller: Caller | undefined;
  const ended = (result: string): void => {
    if (!isAudited(guarded)) return;
    const tookMs = clock.monotonicMs() - startMs;
    audit.record({ caller, from: call.getPeer(), call: guarded.name, request: call.request, result, tookMs });
  };
  try {
    caller = policy.callerOf({ names: namesOfCaller(call.getAuthContext()), token: tokenOfCall(call.metadata) });
    policy.check(caller, guarded.role, guarded.name);
  } catch (error) {
    ended(error instanceof KvorumError ? error.code : 'INTERNAL');
    throw error;
  }
  return ended;
}

function guardedUnary(
  handler: grpc.handleUnaryCall<object, object>,
  guarded: GuardedCall,
  options: GuardOptions,
): grpc.handleUnaryCall<object, object> {
  return (call, answer) => {
    let ended: Ended;
    try {
      ended = admit(call, guarded, options);
    } catch (error) {
      answer(statusOf(error));
      return;
    }
    handler(call, (error, ...rest) => {
      ended(codeOf(error ?? undefined));
      answer(error, ...rest);
    });
  };
}

function guardedStream(
  handler: grpc.handleServerStreamingCall<object, object>,
  guarded: GuardedCall,
  options: GuardOptions,
): grpc.handleServerStreamingCall<object, object> {
  return (call) => {
    let ended: Ended;
    try {
      ended = admit(call, guarded, options);
    } catch (error) {
      call.emit('error', statusOf(error));
      return;
    }
    // What is said first counts: a call that failed or was cancelled is finished too.
    let result: string | undefined;
    call.once('cancelled', () => {
      result ??= 'CANCELLED';
    });
    call.once('error', (error: Partial<grpc.StatusObject>) => {
      result ??= codeOf(error);
    });
    call.once('finish', () => {
      result ??= 'OK';
    });
    call.once('close', () => ended(result ?? 'CANCELLED'));
    handler(call);
  };
}

const codeOf = (error: Partial<grpc.StatusObject> | undefined): string =>
  error === undefined ? 'OK' : String(error.metadata?.get(CODE_KEY)[0] ?? 'INTERNAL');
