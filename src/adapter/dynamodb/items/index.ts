/**
 * Items: what is done to them, one at a time, in batches and in transactions, and how they are found. `write-item` is the one body of all writes,
 * `item-changes` makes Put, Update and Delete of requests, `write-change` does one, `item-store` takes what is asked to the groups that have the rows,
 * `leader-endpoint` answers there by the messages of `change-message`, `transaction-message`, `page-message` and `outcome-message`. `transact-write` does many
 * together by `transaction-body`. `page-plan` and `query-scan` read pages, `page-part` the part of one that a group has.
 */

export { type ReturnConsumedCapacity, TableCosts } from './consumed-capacity.ts';
export { StaleTableError } from './errors.ts';
export {
  bindChange,
  type ChangePart,
  conditionFailed,
  type DoneChange,
  type ItemChange,
} from './item-changes.ts';
export { type ItemServices, ItemStore } from './item-store.ts';
export type { PagePart } from './page-part.ts';
export { type PagePlan, planQuery, planScan, startRow } from './page-plan.ts';
export { answerPage, type PageAnswer } from './query-scan.ts';
export { requestToken } from './request-token.ts';
export { createTablesAndItems, type TablesAndItems, type TablesAndItemsParts } from './tables-and-items.ts';
export { transactGet } from './transact-get.ts';
export { transactCosts, transactWrite } from './transact-write.ts';
export { canceled, reasonOf } from './transaction-body.ts';
export { writeChange } from './write-change.ts';
export { fenceOf, type ItemWrite, keysOfWrite, type StreamLane, type WrittenItem, writeItem } from './write-item.ts';
