from rele import sub


@sub(topic="article-written", suffix="proofreader")
def proofread(data, **attributes):
    words = len(data["text"].split())
    print(f"{data['title']}: {words} words, by {attributes['author']}", flush=True)
