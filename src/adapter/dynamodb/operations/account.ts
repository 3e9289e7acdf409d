/** What clients ask of the account and of the endpoint. */
import { type AnyOperation, declareOperation } from '../operation/index.ts';

/** Those of a new account; nothing here counts against them. */
const LIMITS = {
  AccountMaxReadCapacityUnits: 80_000,
  AccountMaxWriteCapacityUnits: 80_000,
  TableMaxReadCapacityUnits: 40_000,
  TableMaxWriteCapacityUnits: 40_000,
};
const ENDPOINT_MINUTES = 1_440;

export const ACCOUNT_OPERATIONS: readonly AnyOperation[] = [
  declareOperation({
    name: 'DescribeLimits',
    access: 'read',
    validate: (input: object) => input,
    run: async () => LIMITS,
  }),
  declareOperation({
    name: 'DescribeEndpoints',
    access: 'read',
    validate: (input: object) => input,
    // Where the client is already: its next request goes there.
    run: async ({ host }) => ({ Endpoints: [{ Address: host, CachePeriodInMinutes: ENDPOINT_MINUTES }] }),
  }),
];
