/** Which attribute says when items go away. */
import { validationError } from '../errors/index.ts';
import type { TableChange } from './catalog.ts';
import type { TableDescriptor } from './descriptor.ts';
import type { TableTask } from './job-record.ts';
import { inUse } from './update-table.ts';

/** A second change within it is refused. */
const FIXED_MS = 60 * 60 * 1000;

interface WireTimeToLive {
  readonly Enabled: boolean;
  readonly AttributeName: string;
}

export interface UpdateTimeToLiveInput {
  readonly TableName: string;
  readonly TimeToLiveSpecification: WireTimeToLive;
}

/** What the table is then. @throws DynamoError when it is so already */
export function changedTimeToLive(
  table: TableDescriptor,
  tasks: readonly TableTask[],
  { Enabled: isOn, AttributeName: attribute }: WireTimeToLive,
  nowMs: number,
): TableChange {
  const { ttl } = table;
  if (table.status === 'DELETING') throw inUse(table);
  const wasOn = ttl !== undefined && (ttl.state === 'ENABLED' || ttl.state === 'ENABLING');
  if (isOn === wasOn) {
    if (!isOn) throw validationError('TimeToLive is already disabled');
    if (ttl!.attribute === attribute) throw validationError('TimeToLive is already enabled');
  }
  if (wasOn && ttl.attribute !== attribute) {
    throw validationError(
      `TimeToLive is active on a different AttributeName: current AttributeName is ${ttl.attribute}`,
    );
  }
  if (ttl !== undefined && ttl.changedMs > nowMs - FIXED_MS) {
    throw validationError('Time to live has been modified multiple times within a fixed interval');
  }
  const state = isOn ? 'ENABLING' : 'DISABLING';
  const task: TableTask = isOn ? { kind: 'fillExpiry', attribute } : { kind: 'dropExpiry' };
  return { table: { ...table, ttl: { attribute, state, changedMs: nowMs } }, tasks: [...tasks, task] };
}

/** As DescribeTimeToLive shows it. */
export function describeTimeToLive({ ttl }: TableDescriptor): object {
  if (ttl === undefined || ttl.state === 'DISABLED') return { TimeToLiveStatus: 'DISABLED' };
  return { TimeToLiveStatus: ttl.state, AttributeName: ttl.attribute };
}
