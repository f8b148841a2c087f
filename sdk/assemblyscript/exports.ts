// asconfig.json adds this file to every plugin's entry files, so that the module exports what the host calls.
export { eshost_abi_v1, eshost_inbox, handleEvent as handle } from "eshost/assembly/guest";
