/**
 * The service `kvorum.v1.Admin` over an `AdminBackend`: takes requests apart, gives each the time that its caller gave it,
 * and tells errors by the table. Nothing is decided here.
 */
import type grpc from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import type { AdminBackend } from '../../kv/index.ts';
import { type ErrorDisposition, KvorumError, type Millis } from '../../platform/index.ts';
import { adminDefinition, loadPackage } from './definition.ts';
import { statusOf } from './errors.ts';
import * as requests from './requests.ts';

/** A caller that sets no deadline gets this. */
const DEFAULT_TIMEOUT_MS: Millis = 10_000;
/** The longest that one request may take, whatever its caller says. */
const MAX_TIMEOUT_MS: Millis = 120_000;
/** Part of the caller's time that is kept for the way back. */
const RETURN_MS: Millis = 100;
/** Streams of changes at a time; each costs a look at the directory ten times a second. */
const MAX_WATCHERS = 64;

class RequestError extends KvorumError {
  readonly code: string;
  readonly disposition: ErrorDisposition;

  constructor(code: string, disposition: ErrorDisposition, message: string) {
    super(message);
    this.code = code;
    this.disposition = disposition;
  }
}

const invalid = (problem: string): Error => new RequestError('INVALID_ARGUMENT', 'final', problem);

/** The admin service of one node. */
export interface AdminService {
  /** Adds the service and the server reflection that describes it; before or after the server is bound. */
  addTo(server: Pick<grpc.Server, 'addService'>): void;
  /** Ends the streams that would go on for ever; call before the server shuts down. */
  close(): void;
}

/** Makes the service. It keeps no state but the streams that are open. */
export function createAdminService(backend: AdminBackend): AdminService {
  return new BackedAdminService(backend);
}

type Unary<Request> = (request: Request, timeoutMs: Millis) => Promise<object>;
type StreamCall = grpc.ServerWritableStream<unknown, object>;

/** Time that is left for a call. */
function timeLeft(call: { getDeadline(): grpc.Deadline }): Millis {
  const deadline = call.getDeadline();
  const atMs = deadline instanceof Date ? deadline.getTime() : deadline;
  if (!Number.isFinite(atMs)) return DEFAULT_TIMEOUT_MS;
  return Math.min(MAX_TIMEOUT_MS, Math.max(1, atMs - Date.now() - RETURN_MS));
}

function unary<Request>(handler: Unary<Request>): grpc.handleUnaryCall<Request, object> {
  return (call, answer) => {
    // A handler that throws at once is told like one that rejects.
    new Promise<object>((resolve) => resolve(handler(call.request, timeLeft(call)))).then(
      (reply) => answer(null, reply),
      (error: unknown) => answer(statusOf(error)),
    );
  };
}

class BackedAdminService implements AdminService {
  private readonly backend: AdminBackend;
  private readonly watchers = new Set<AbortController>();

  constructor(backend: AdminBackend) {
    this.backend = backend;
  }

  addTo(server: Pick<grpc.Server, 'addService'>): void {
    server.addService(adminDefinition(), this.handlers());
    new ReflectionService(loadPackage()).addToServer(server);
  }

  close(): void {
    for (const watcher of this.watchers) watcher.abort();
  }

  private handlers(): grpc.UntypedServiceImplementation {
    const { backend } = this;
    const group = (value: number) => requests.toGroup(value, invalid);
    const node = (value: number) => requests.toNode(value, invalid);
    return {
      Status: unary<requests.GroupsRequest>(({ groups }, timeoutMs) => backend.status(groups.map(group), timeoutMs)),
      Health: unary((_, timeoutMs) => backend.health(timeoutMs)),

      Members: unary<requests.GroupsRequest>(async ({ groups }, timeoutMs) => ({
        groups: await backend.members(groups.map(group), timeoutMs),
      })),
      AddLearner: unary<requests.AddLearnerRequest>(({ groupId, nodeId, address }, timeoutMs) =>
        backend.addLearner(group(groupId), node(nodeId), address, timeoutMs),
      ),
      Promote: unary<requests.MemberRequest>(({ groupId, nodeId }, timeoutMs) =>
        backend.promote(group(groupId), node(nodeId), timeoutMs),
      ),
      Remove: unary<requests.MemberRequest>(({ groupId, nodeId }, timeoutMs) =>
        backend.removeMember(group(groupId), node(nodeId), timeoutMs),
      ),
      TransferLeader: unary<requests.TransferLeaderRequest>(({ groupId, to }, timeoutMs) =>
        backend.transferLeader(group(groupId), to === undefined ? undefined : node(to), timeoutMs),
      ),

      ListGroups: unary(async (_, timeoutMs) => ({ groups: await backend.groups(timeoutMs) })),
      CreateGroup: unary<requests.CreateGroupRequest>(({ id, founders, preferredLeader }, timeoutMs) =>
        backend.createGroup(
          id === undefined ? undefined : group(id),
          founders.map(node),
          preferredLeader === undefined ? undefined : node(preferredLeader),
          timeoutMs,
        ),
      ),
      RemoveGroup: unary<requests.RemoveGroupRequest>(({ id }, timeoutMs) => backend.removeGroup(group(id), timeoutMs)),

      ListRoutes: (call: StreamCall) => {
        const { start, end, groupId, limit } = call.request as requests.ListRoutesRequest;
        this.stream(call, () =>
          backend.routes({
            start,
            limit,
            ...(end === undefined ? {} : { end }),
            ...(groupId === undefined ? {} : { groupId: group(groupId) }),
          }),
        );
      },
      WatchRoutes: (call: StreamCall) => {
        const { onlyChanges } = call.request as requests.WatchRoutesRequest;
        this.stream(call, (signal) => this.watch(onlyChanges, signal));
      },
      Split: unary<requests.SplitRequest>(({ key, expectedVersion }, timeoutMs) =>
        backend.split(key, expectedVersion, timeoutMs),
      ),
      BatchSplit: unary<requests.BatchSplitRequest>(({ keys, batchId, expectedVersion }, timeoutMs) =>
        backend.batchSplit(keys, batchId, expectedVersion, timeoutMs),
      ),
      Merge: unary<requests.MergeRequest>(({ boundary, expectedVersion }, timeoutMs) =>
        backend.merge(boundary, expectedVersion, timeoutMs),
      ),
      Move: unary<requests.MoveRequest>(({ routeId, key, toGroup, expectedVersion }, timeoutMs) => {
        if (key === undefined && routeId === undefined) throw invalid('name the route by its id or by a key of it');
        const ref = key === undefined ? { id: routeId! } : { key };
        return backend.move(ref, group(toGroup), expectedVersion, timeoutMs);
      }),
      Jobs: unary<requests.JobsRequest>(async ({ id, finishedLimit }, timeoutMs) => ({
        jobs: await backend.jobs(id, finishedLimit, timeoutMs),
      })),
      AbortJob: unary<requests.AbortJobRequest>(({ id }, timeoutMs) => backend.abortJob(id, timeoutMs)),

      Nodes: unary(async (_, timeoutMs) => ({ nodes: await backend.nodes(timeoutMs) })),
      ListSettings: unary<requests.ListSettingsRequest>(async ({ name }, timeoutMs) => {
        const settings = await backend.settings(timeoutMs);
        return { settings: name === '' ? settings : settings.filter((setting) => setting.name === name) };
      }),
      SetSetting: unary<requests.SetSettingRequest>(({ name, value }, timeoutMs) =>
        backend.setSetting(name, value, timeoutMs),
      ),
      ListFeatures: unary(async (_, timeoutMs) => ({ features: await backend.features(timeoutMs) })),
      ActivateFeature: unary<requests.ActivateFeatureRequest>(({ name }, timeoutMs) =>
        backend.activateFeature(name, timeoutMs),
      ),
      Balance: unary((_, timeoutMs) => backend.balance(timeoutMs)),
    };
  }

  private async *watch(onlyChanges: boolean, signal: AbortSignal): AsyncGenerator<object> {
    if (this.watchers.size > MAX_WATCHERS) {
      throw new RequestError(
        'BUSY',
        'wait',
        `${MAX_WATCHERS} streams of changes are open on this node; ask another node`,
      );
    }
    yield* this.backend.watchRoutes(onlyChanges, signal);
  }

  /** Writes what comes, as fast as the caller reads it, until it is over or the caller is gone. */
  private stream(call: StreamCall, open: (signal: AbortSignal) => Iterable<object> | AsyncIterable<object>): void {
    const abort = new AbortController();
    this.watchers.add(abort);
    const drained = (): Promise<void> =>
      new Promise((resolve) => {
        call.once('drain', resolve);
        abort.signal.addEventListener('abort', () => resolve(), { once: true });
      });
    const pump = async (): Promise<void> => {
      for await (const message of open(abort.signal)) {
        if (abort.signal.aborted) return;
        if (!call.write(message)) await drained();
      }
    };
    call.on('cancelled', () => abort.abort());
    call.on('close', () => abort.abort());
    call.on('error', () => abort.abort());
    pump()
      .then(
        () => call.end(),
        (error: unknown) => call.emit('error', statusOf(error)),
      )
      .finally(() => {
        this.watchers.delete(abort);
        abort.abort();
      });
  }
}
