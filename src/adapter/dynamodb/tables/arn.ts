/** Names of tables, indexes and streams as ARNs. */
import { validationError } from '../errors/index.ts';
import type { RequestContext } from '../operation/index.ts';

const TABLE_ARN = /^arn:[a-z-]+:dynamodb:[a-z0-9-]*:\d*:table\/([a-zA-Z0-9_.-]+)$/;

/** Whose ARNs: region and account. */
export type ArnPlace = Pick<RequestContext, 'region' | 'accountId'>;

/** The ARN of a table. */
export const tableArn = ({ region, accountId }: ArnPlace, name: string): string =>
  `arn:aws:dynamodb:${region}:${accountId}:table/${name}`;

/** The name of a table that is written as itself or as an ARN. @throws DynamoError for an ARN of something else */
export function tableNameOf(text: string): string {
  if (!text.startsWith('arn:')) return text;
  const name = TABLE_ARN.exec(text)?.[1];
  if (name === undefined) throw validationError(`Invalid table ARN: ${text}`);
  return name;
}

/** The table of an ARN that resources are tagged by. @throws DynamoError */
export function taggedTable(arn: string): string {
  if (!arn.startsWith('arn:')) {
    throw validationError(`Invalid TableArn: Invalid ResourceArn provided as input ${arn}`);
  }
  const name = TABLE_ARN.exec(arn)?.[1];
  if (name !== undefined) return name;
  const inner = /:table\/[a-zA-Z0-9_.-]+\/(\w+)\//.exec(arn)?.[1];
  if (inner !== undefined && inner !== 'stream') {
    throw validationError(
      `One or more parameter values were invalid: Invalid resource arn provided, only table or stream is accepted. Arn: ${arn}`,
    );
  }
  throw validationError(`Invalid TableArn: Invalid ResourceArn provided as input ${arn}`);
}
