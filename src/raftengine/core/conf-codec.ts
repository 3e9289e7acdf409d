/**
 * Bytes of a `ConfChange` inside a log entry:
 *
 *   u8 version (1) | u16 step count | steps: u8 kind, u16 node | context to the end
 */
import { assert, nodeId } from '../../platform/index.ts';
import type { ConfChange, ConfChangeStep } from './types.ts';

const VERSION = 1;
const HEADER_BYTES = 3;
const STEP_BYTES = 3;
/** Disk values: never renumber. */
const STEP_KINDS = ['addVoter', 'addLearner', 'remove'] as const;

/** The payload of a configuration change's log entry. */
export function encodeConfChange(change: ConfChange): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + change.steps.length * STEP_BYTES + change.context.length);
  bytes.writeUInt8(VERSION, 0);
  bytes.writeUInt16BE(change.steps.length, 1);
  let offset = HEADER_BYTES;
  for (const step of change.steps) {
    bytes.writeUInt8(STEP_KINDS.indexOf(step.kind), offset);
    bytes.writeUInt16BE(step.nodeId, offset + 1);
    offset += STEP_BYTES;
  }
  change.context.copy(bytes, offset);
  return bytes;
}

/** @throws AssertionError on anything that `encodeConfChange` did not write: a replica must stop, not skip membership */
export function decodeConfChange(bytes: Buffer): ConfChange {
  assert(bytes.length >= HEADER_BYTES && bytes.readUInt8(0) === VERSION, 'unknown form of a membership change');
  const count = bytes.readUInt16BE(1);
  const end = HEADER_BYTES + count * STEP_BYTES;
  assert(bytes.length >= end, 'a membership change is cut short');
  const steps: ConfChangeStep[] = [];
  for (let offset = HEADER_BYTES; offset < end; offset += STEP_BYTES) {
    const kind = STEP_KINDS[bytes.readUInt8(offset)];
    assert(kind !== undefined, 'unknown step in a membership change');
    steps.push({ kind, nodeId: nodeId(bytes.readUInt16BE(offset + 1)) });
  }
  return { steps, context: bytes.subarray(end) };
}

/** The change that leaves a joint configuration. */
export const LEAVE_JOINT = encodeConfChange({ steps: [], context: Buffer.alloc(0) });
