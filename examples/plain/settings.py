"""Without Django: ``rele-cli run`` and ``rele.publish`` find this module in the current folder."""

RELE = {
    "GC_PROJECT_ID": "my-newsroom",
    "APP_NAME": "newsroom",
}
