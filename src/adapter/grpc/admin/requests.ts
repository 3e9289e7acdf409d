/** Requests as they arrive, checked before anything is done with them. The names are those of the proto file in camel case. */
import { type GroupId, groupId, type NodeId, nodeId } from '../../../platform/index.ts';

export interface GroupsRequest {
  readonly groups: readonly number[];
}

export interface MemberRequest {
  readonly groupId: number;
  readonly nodeId: number;
}

export interface AddLearnerRequest extends MemberRequest {
  readonly address: string;
}

export interface TransferLeaderRequest {
  readonly groupId: number;
  readonly to?: number;
}

export interface CreateGroupRequest {
  readonly id?: number;
  readonly founders: readonly number[];
  readonly preferredLeader?: number;
  readonly requestId?: Buffer;
}

export interface RemoveGroupRequest {
  readonly id: number;
}

export interface ListRoutesRequest {
  readonly start: Buffer;
  readonly end?: Buffer;
  readonly groupId?: number;
  readonly limit: number;
}

export interface WatchRoutesRequest {
  readonly onlyChanges: boolean;
}

export interface SplitRequest {
  readonly key: Buffer;
  readonly expectedVersion?: number;
}

export interface BatchSplitRequest {
  readonly keys: readonly Buffer[];
  readonly batchId: Buffer;
  readonly expectedVersion?: number;
}

export interface MergeRequest {
  readonly boundary: Buffer;
  readonly expectedVersion?: number;
}

export interface MoveRequest {
  readonly routeId?: number;
  readonly key?: Buffer;
  readonly toGroup: number;
  readonly expectedVersion?: number;
}

export interface JobsRequest {
  readonly id: number;
  readonly finishedLimit: number;
}

export interface AbortJobRequest {
  readonly id: number;
}

export interface ListSettingsRequest {
  readonly name: string;
}

export interface LogLevelRequest {
  readonly nodeId?: number;
  readonly level?: string;
}

export interface SetSettingRequest {
  readonly name: string;
  readonly value: string;
}

export interface SetUserRequest {
  readonly name: string;
  readonly rules: readonly string[];
}

export interface DeleteUsersRequest {
  readonly names: readonly string[];
}

export interface ActivateFeatureRequest {
  readonly name: string;
}

export interface CreateBackupRequest {
  readonly place?: string;
}

export interface DrainRequest {
  readonly nodeId: number;
  readonly action: string;
}

export interface DrainProgressRequest {
  readonly nodeId: number;
}

export interface ReplaceRequest {
  readonly dead: number;
  readonly successor: number;
  readonly address: string;
  readonly mayAnswer: boolean;
  readonly isDryRun: boolean;
}

export interface TransactionsRequest {
  readonly groups: readonly number[];
  readonly limit: number;
  readonly txnId?: Buffer;
  readonly primary?: Buffer;
}

export interface ResolveTransactionRequest {
  readonly txnId: Buffer;
  readonly isForced: boolean;
}

export interface RecoverRequest {
  readonly groupId: number;
  readonly node?: number;
  readonly isDryRun: boolean;
}

/** A field of a request that cannot be what it says. */
export type Invalid = (problem: string) => Error;

/** @throws what `invalid` makes for 0 */
export function toGroup(value: number, invalid: Invalid): GroupId {
  if (value > 0) return groupId(value);
  throw invalid('a group id is a whole number from 1; name the group');
}

/** @throws what `invalid` makes for what is no id of a node */
export function toNode(value: number, invalid: Invalid): NodeId {
  if (value > 0 && value <= 0xffff) return nodeId(value);
  throw invalid(`a node id is a whole number from 1 to 65535, not ${value}`);
}
