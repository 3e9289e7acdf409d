/**
 * The service `kvorum.v1.Admin` over an `AdminBackend`: takes requests apart, gives each the time that its caller gave it,
 * and tells errors by the table. Nothing is decided here.
 */
import type grpc from '@grpc/grpc-js';
import { type AdminBackend, DRAIN_ACTIONS } from '../../../cluster/index.ts';
import { invalid, OpenStreams, RequestError, type StreamCall, unary } from '../calls.ts';
import { adminDefinition } from '../definition.ts';
import { addReflection } from './reflection.ts';
import * as requests from './requests.ts';
import type { UserAdmin } from './user-admin.ts';

/** Streams of changes at a time; each costs a look at the directory ten times a second. */
const MAX_WATCHERS = 64;
/** Transactions that are listed when the caller does not say how many. */
const DEFAULT_TRANSACTIONS = 100;
const TXN_ID_BYTES = 16;

/** The admin service of one node. */
export interface AdminService {
  /** Adds the service and the server reflection that describes it; before or after the server is bound. */
  addTo(server: Pick<grpc.Server, 'addService'>): void;
  /** Ends the streams that would go on for ever; call before the server shuts down. */
  close(): void;
}

/** Makes the service. It keeps no state but the streams that are open. @param users of Redis clients; undefined before clients are served */
export function createAdminService(backend: AdminBackend, users: () => UserAdmin | undefined): AdminService {
  return new BackedAdminService(backend, users);
}

class BackedAdminService implements AdminService {
  private readonly backend: AdminBackend;
  private readonly usersOf: () => UserAdmin | undefined;
  private readonly streams = new OpenStreams();

  constructor(backend: AdminBackend, users: () => UserAdmin | undefined) {
    this.backend = backend;
    this.usersOf = users;
  }

  addTo(server: Pick<grpc.Server, 'addService'>): void {
    server.addService(adminDefinition(), this.handlers());
    addReflection(server);
  }

  close(): void {
    this.streams.close();
  }

  private handlers(): grpc.UntypedServiceImplementation {
    const { backend } = this;
    const group = (value: number) => requests.toGroup(value, invalid);
    const node = (value: number) => requests.toNode(value, invalid);
    const users = (): UserAdmin => {
      const found = this.usersOf();
      if (found === undefined) throw new RequestError('STOPPED', 'wait', 'the node does not serve Redis clients yet');
      return found;
    };
    return {
      Status: unary<requests.GroupsRequest>(({ groups }, timeoutMs) => backend.status(groups.map(group), timeoutMs)),
      Health: unary((_, timeoutMs) => backend.health(timeoutMs)),
      LogLevel: unary<requests.LogLevelRequest>(async ({ nodeId, level }, timeoutMs) => ({
        nodes: await backend.logLevels(nodeId === undefined ? undefined : node(nodeId), level, timeoutMs),
      })),

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
      CreateGroup: unary<requests.CreateGroupRequest>(({ id, founders, preferredLeader, requestId }, timeoutMs) =>
        backend.createGroup(
          id === undefined ? undefined : group(id),
          founders.map(node),
          preferredLeader === undefined ? undefined : node(preferredLeader),
          timeoutMs,
          requestId,
        ),
      ),
      RemoveGroup: unary<requests.RemoveGroupRequest>(({ id }, timeoutMs) => backend.removeGroup(group(id), timeoutMs)),

      ListRoutes: (call: StreamCall) => {
        const { start, end, groupId, limit } = call.request as requests.ListRoutesRequest;
        this.streams.serve(call, () =>
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
        this.streams.serve(call, (signal) => this.watch(onlyChanges, signal));
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
      ListUsers: unary(async () => ({ users: await users().list() })),
      SetUser: unary<requests.SetUserRequest>(({ name, rules }) => users().set(name, rules)),
      DeleteUsers: unary<requests.DeleteUsersRequest>(async ({ names }) => ({ deleted: await users().remove(names) })),
      ListFeatures: unary(async (_, timeoutMs) => ({ features: await backend.features(timeoutMs) })),
      ActivateFeature: unary<requests.ActivateFeatureRequest>(({ name }, timeoutMs) =>
        backend.activateFeature(name, timeoutMs),
      ),
      Balance: unary((_, timeoutMs) => backend.balance(timeoutMs)),
      Gc: unary((_, timeoutMs) => backend.gc(timeoutMs)),
      RunGc: unary((_, timeoutMs) => backend.runGc(timeoutMs)),

      Backups: unary((_, timeoutMs) => backend.backups(timeoutMs)),
      CreateBackup: unary<requests.CreateBackupRequest>(({ place }, timeoutMs) =>
        backend.createBackup(place, timeoutMs),
      ),

      Replace: unary<requests.ReplaceRequest>(({ dead, successor, ...rest }, timeoutMs) =>
        backend.replace({ ...rest, dead: node(dead), successor: node(successor) }, timeoutMs),
      ),
      Drain: unary<requests.DrainRequest>(({ nodeId, action }, timeoutMs) => {
        const known = DRAIN_ACTIONS.find((each) => each === action);
        if (known === undefined) throw invalid(`the action is one of ${DRAIN_ACTIONS.join(', ')}`);
        return backend.drain({ nodeId: node(nodeId), action: known }, timeoutMs);
      }),
      DrainProgress: unary<requests.DrainProgressRequest>(({ nodeId }, timeoutMs) =>
        backend.drainProgress(node(nodeId), timeoutMs),
      ),
      Doctor: unary((_, timeoutMs) => backend.doctor(timeoutMs)),
      Time: unary((_, timeoutMs) => backend.time(timeoutMs)),
      Transactions: unary<requests.TransactionsRequest>(({ groups, limit, txnId, primary }, timeoutMs) =>
        backend.transactions(groups.map(group), limit || DEFAULT_TRANSACTIONS, txnId, primary, timeoutMs),
      ),
      ResolveTransaction: unary<requests.ResolveTransactionRequest>(({ txnId, isForced }, timeoutMs) => {
        if (txnId.length !== TXN_ID_BYTES) throw invalid(`the id of a transaction has ${TXN_ID_BYTES} bytes`);
        return backend.resolveTransaction(txnId, isForced, timeoutMs);
      }),
      Recover: unary<requests.RecoverRequest>((request, timeoutMs) =>
        backend.recover(
          {
            groupId: group(request.groupId),
            isDryRun: request.isDryRun,
            ...(request.node === undefined ? {} : { node: node(request.node) }),
          },
          timeoutMs,
        ),
      ),
    };
  }

  private async *watch(onlyChanges: boolean, signal: AbortSignal): AsyncGenerator<object> {
    if (this.streams.size > MAX_WATCHERS) {
      throw new RequestError(
        'BUSY',
        'wait',
        `${MAX_WATCHERS} streams of changes are open on this node; ask another node`,
      );
    }
    yield* this.backend.watchRoutes(onlyChanges, signal);
  }
}
