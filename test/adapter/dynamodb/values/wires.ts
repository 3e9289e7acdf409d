/** Attribute values as clients may write them. */
import fc from 'fast-check';
import type { WireAttributeValue } from '../../../../src/adapter/dynamodb/values/index.ts';

/** Any correct value. */
export const anyWire: fc.Arbitrary<WireAttributeValue> = fc.letrec<{ value: WireAttributeValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.string().map((S) => ({ S })),
    fc.integer().map((n) => ({ N: String(n) })),
    fc.uint8Array().map((bytes) => ({ B: Buffer.from(bytes).toString('base64') })),
    fc.boolean().map((BOOL) => ({ BOOL })),
    fc.constant({ NULL: true }),
    fc.uniqueArray(fc.string(), { minLength: 1 }).map((SS) => ({ SS })),
    fc.uniqueArray(fc.integer(), { minLength: 1 }).map((numbers) => ({ NS: numbers.map(String) })),
    fc.array(tie('value')).map((L) => ({ L })),
    fc.dictionary(fc.string(), tie('value')).map((M) => ({ M })),
  ),
})).value;
