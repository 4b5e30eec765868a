// A button beside an error: copies it, to ask somebody about it.

import { useState } from "preact/hooks";
import { copyText } from "../clipboard";
import { detailsOf } from "../failure";

export function CopyDetails({ title, text }: { title: string; text: string }) {
  const [copied, setCopied] = useState("");
  const details = detailsOf(title, text);
  return (
    <button
      type="button"
      class="quiet"
      onClick={() => void copyText(details).then(() => setCopied(details))}
    >
      {copied === details ? "Copied" : "Copy details"}
    </button>
  );
}
