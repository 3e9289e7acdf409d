/** The other end of the service, for tools: typed calls to one node. */
import grpc from '@grpc/grpc-js';
import type {
  AbortJobResult,
  BackupsView,
  BalanceView,
  ClusterStatus,
  DoctorReport,
  DrainStatus,
  FeatureView,
  GcRunResult,
  GcView,
  GroupMembers,
  GroupView,
  HealthReport,
  JobView,
  MembershipResult,
  MergeResult,
  NodeLogLevel,
  NodeView,
  RecoverResult,
  ReplaceStatus,
  ResolveTxnResult,
  RoutesChange,
  RoutesPage,
  RoutesResult,
  SettingView,
  TransferResult,
  TsoReport,
  TxnsReport,
} from '../../../cluster/index.ts';
import type { Millis } from '../../../platform/index.ts';
import { type CallerCertificates, channelSecurity, type Secret } from '../../../security/index.ts';
import { tokenOptions } from '../../../token-header.ts';
import { adminDefinition } from '../definition.ts';
import { CODE_KEY } from '../errors.ts';
import type * as requests from './requests.ts';
import type { RedisUserView } from './user-admin.ts';

/** Unary calls by name: what is asked, what is answered. */
export interface AdminCalls {
  readonly Status: [request: requests.GroupsRequest, reply: ClusterStatus];
  readonly Health: [request: object, reply: HealthReport];
  readonly LogLevel: [request: requests.LogLevelRequest, reply: { readonly nodes: readonly NodeLogLevel[] }];
  readonly Members: [request: requests.GroupsRequest, reply: { readonly groups: readonly GroupMembers[] }];
  readonly AddLearner: [request: requests.AddLearnerRequest, reply: MembershipResult];
  readonly Promote: [request: requests.MemberRequest, reply: MembershipResult];
  readonly Remove: [request: requests.MemberRequest, reply: MembershipResult];
  readonly TransferLeader: [request: requests.TransferLeaderRequest, reply: TransferResult];
  readonly ListGroups: [request: object, reply: { readonly groups: readonly GroupView[] }];
  readonly CreateGroup: [request: requests.CreateGroupRequest, reply: GroupView];
  readonly RemoveGroup: [request: requests.RemoveGroupRequest, reply: GroupView];
  readonly Split: [request: requests.SplitRequest, reply: RoutesResult];
  readonly BatchSplit: [request: requests.BatchSplitRequest, reply: RoutesResult];
  readonly Merge: [request: requests.MergeRequest, reply: MergeResult];
  readonly Move: [request: requests.MoveRequest, reply: JobView];
  readonly Jobs: [request: requests.JobsRequest, reply: { readonly jobs: readonly JobView[] }];
  readonly AbortJob: [request: requests.AbortJobRequest, reply: AbortJobResult];
  readonly Nodes: [request: object, reply: { readonly nodes: readonly NodeView[] }];
  readonly ListSettings: [request: requests.ListSettingsRequest, reply: { readonly settings: readonly SettingView[] }];
  readonly SetSetting: [request: requests.SetSettingRequest, reply: SettingView];
  readonly ListUsers: [request: object, reply: { readonly users: readonly RedisUserView[] }];
  readonly SetUser: [request: requests.SetUserRequest, reply: RedisUserView];
  readonly DeleteUsers: [request: requests.DeleteUsersRequest, reply: { readonly deleted: number }];
  readonly ListFeatures: [request: object, reply: { readonly features: readonly FeatureView[] }];
  readonly ActivateFeature: [request: requests.ActivateFeatureRequest, reply: FeatureView];
  readonly Balance: [request: object, reply: BalanceView];
  readonly Gc: [request: object, reply: GcView];
  readonly RunGc: [request: object, reply: GcRunResult];
  readonly Backups: [request: object, reply: BackupsView];
  readonly CreateBackup: [request: requests.CreateBackupRequest, reply: { readonly id: string }];
  readonly Replace: [request: requests.ReplaceRequest, reply: ReplaceStatus];
  readonly Drain: [request: requests.DrainRequest, reply: DrainStatus];
  readonly DrainProgress: [request: requests.DrainProgressRequest, reply: DrainStatus];
  readonly Doctor: [request: object, reply: DoctorReport];
  readonly Time: [request: object, reply: TsoReport];
  readonly Transactions: [request: requests.TransactionsRequest, reply: TxnsReport];
  readonly ResolveTransaction: [request: requests.ResolveTransactionRequest, reply: ResolveTxnResult];
  readonly Recover: [request: requests.RecoverRequest, reply: RecoverResult];
}

/** Streaming calls by name: what is asked, what each message is. */
export interface AdminStreams {
  readonly ListRoutes: [request: requests.ListRoutesRequest, message: RoutesPage];
  readonly WatchRoutes: [request: requests.WatchRoutesRequest, message: RoutesChange];
}

/** What a call ended with instead of an answer. */
export class AdminCallError extends Error {
  override readonly name = 'AdminCallError';
  /** Stable kvorum code; undefined when no node said anything: the connection or the time ended. */
  readonly code: string | undefined;
  readonly status: grpc.status;

  constructor(error: grpc.ServiceError) {
    super(error.details || error.message, { cause: error });
    const code = error.metadata?.get(CODE_KEY)[0];
    this.code = code === undefined ? undefined : String(code);
    this.status = error.code;
  }

  /** True when the call ran out of its time. */
  get isTimeout(): boolean {
    return this.status === grpc.status.DEADLINE_EXCEEDED;
  }

  /** True when the node is there and does not know the call: it is older than the caller. */
  get isUnknownCall(): boolean {
    return this.status === grpc.status.UNIMPLEMENTED;
  }
}

const MAX_REPLY_BYTES = 64 * 1024 * 1024;

/** A connection to one node. */
export class AdminClient {
  readonly address: string;
  private readonly client: grpc.Client;

  /**
   * @param address `host:port`; nothing is dialled before the first call
   * @param certificates what this side shows and checks nodes by; undefined: plain text
   * @param token shown with every call
   */
  constructor(address: string, certificates?: CallerCertificates, token?: Secret) {
    this.address = address;
    const { credentials, options } = channelSecurity(certificates);
    this.client = new grpc.Client(address, credentials, {
      ...options,
      ...tokenOptions(token && (() => token.reveal())),
      'grpc.max_receive_message_length': MAX_REPLY_BYTES,
      'grpc.enable_channelz': 0,
    });
  }

  /** Settles when the node takes calls. @throws Error at once when it refuses, or when it says nothing within `timeoutMs` */
  async connect(timeoutMs: Millis): Promise<void> {
    const { connectivityState } = grpc;
    const channel = this.client.getChannel();
    const deadline = Date.now() + timeoutMs;
    // A failure of an earlier attempt is not one of this.
    let isFresh = true;
    for (;;) {
      const state = channel.getConnectivityState(true);
      if (state === connectivityState.READY) return;
      if (state === connectivityState.TRANSIENT_FAILURE && !isFresh) throw new Error('the connection was refused');
      isFresh = isFresh && state !== connectivityState.CONNECTING;
      await new Promise<void>((resolve, reject) => {
        channel.watchConnectivityState(state, deadline, (error) => (error === undefined ? resolve() : reject(error)));
      });
    }
  }

  /** @param signal ends the call @throws AdminCallError */
  call<Name extends keyof AdminCalls>(
    name: Name,
    request: AdminCalls[Name][0],
    timeoutMs: Millis,
    signal?: AbortSignal,
  ): Promise<AdminCalls[Name][1]> {
    const { path, requestSerialize, responseDeserialize } = adminDefinition()[name]!;
    return new Promise((resolve, reject) => {
      const call = this.client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        { deadline: Date.now() + timeoutMs },
        (error, reply) => {
          signal?.removeEventListener('abort', cancel);
          if (error === null) resolve(reply as AdminCalls[Name][1]);
          else reject(new AdminCallError(error));
        },
      );
      const cancel = (): void => call.cancel();
      signal?.addEventListener('abort', cancel, { once: true });
      if (signal?.aborted) cancel();
    });
  }

  /**
   * Messages as they come; leaving the loop ends the call.
   * @param timeoutMs of the whole stream; undefined for one without an end
   * @throws AdminCallError
   */
  async *stream<Name extends keyof AdminStreams>(
    name: Name,
    request: AdminStreams[Name][0],
    timeoutMs: Millis | undefined,
    signal?: AbortSignal,
  ): AsyncGenerator<AdminStreams[Name][1]> {
    const { path, requestSerialize, responseDeserialize } = adminDefinition()[name]!;
    const options = timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
    const call = this.client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, options);
    const cancel = (): void => call.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    if (signal?.aborted) cancel();
    try {
      for await (const message of call) yield message as AdminStreams[Name][1];
    } catch (error) {
      if (!signal?.aborted) throw new AdminCallError(error as grpc.ServiceError);
    } finally {
      signal?.removeEventListener('abort', cancel);
      call.on('error', () => undefined);
      call.cancel();
    }
  }

  close(): void {
    this.client.close();
  }
}
