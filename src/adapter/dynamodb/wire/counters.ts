/** What a port counts since the start of its node, for metrics. */
import { BucketCounts, LATENCY_BOUNDS_MS, type Millis } from '../../../platform/index.ts';
import type { DynamoErrorType } from '../errors/index.ts';

/** Of one operation. */
export interface OperationCounters {
  readonly operation: string;
  readonly calls: number;
  /** From the arrival of the request's head to the handing over of the answer. */
  readonly latencyMs: BucketCounts;
}

/** Of a port. */
export interface PortCounters {
  /** Operations that were asked for. */
  readonly operations: readonly OperationCounters[];
  /** By the names of exceptions, requests that name no operation included. */
  readonly exceptions: ReadonlyMap<DynamoErrorType, number>;
  readonly connections: number;
  /** Bytes of bodies, as they were sent. */
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

class Calls implements OperationCounters {
  readonly operation: string;
  readonly latencyMs = new BucketCounts(LATENCY_BOUNDS_MS);
  calls = 0;

  constructor(operation: string) {
    this.operation = operation;
  }
}

/** See the top of the file. */
export class Counters {
  private readonly byOperation = new Map<string, Calls>();
  readonly exceptions = new Map<DynamoErrorType, number>();
  receivedBytes = 0;
  sentBytes = 0;

  called(operation: string, tookMs: Millis): void {
    let calls = this.byOperation.get(operation);
    if (calls === undefined) {
      calls = new Calls(operation);
      this.byOperation.set(operation, calls);
    }
    calls.calls++;
    calls.latencyMs.observe(tookMs);
  }

  failed(type: DynamoErrorType): void {
    this.exceptions.set(type, (this.exceptions.get(type) ?? 0) + 1);
  }

  snapshot(connections: number): PortCounters {
    const { exceptions, receivedBytes, sentBytes } = this;
    return { operations: [...this.byOperation.values()], exceptions, connections, receivedBytes, sentBytes };
  }
}
